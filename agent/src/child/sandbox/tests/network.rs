//! Sockets, with and without a grant.

use super::*;

#[test]
fn no_network_without_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    alone("network::no_network_without_a_grant", folder.path().join("socket").to_str().unwrap(), |path| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _unix = UnixListener::bind(path).unwrap();
        draw(&[]);
        assert_eq!(errno(TcpStream::connect(listener.local_addr().unwrap())), EACCES);
        assert_eq!(errno(UdpSocket::bind("127.0.0.1:0")), EACCES);
        assert_eq!(errno(UnixStream::connect(path)), EACCES);
        assert_eq!(errno(netlink_socket(netlink::SOCK_DIAG)), EACCES);
        assert_eq!(errno(listener.accept()), EACCES);
        assert!(UnixStream::pair().is_ok(), "a pair stays in the process");
    });
}

#[test]
fn granted_port_is_reached_by_name_and_no_other() {
    alone("network::granted_port_is_reached_by_name_and_no_other", "", |_| {
        let [granted, other] = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, closed] = [&granted, &other].map(|listener| listener.local_addr().unwrap().port());
        draw(&[read(ReadKind::Tcp, &port.to_string())]);
        let addresses: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
        assert!(!addresses.is_empty());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert_eq!(errno(TcpStream::connect(("127.0.0.1", closed))), EACCES);
        assert_eq!(errno(TcpListener::bind("127.0.0.1:0")), EACCES);
        assert_eq!(errno(netlink_socket(netlink::SOCK_DIAG)), EACCES);
    });
}

#[test]
fn granted_socket_is_reached_and_abstract_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let name = "network::granted_socket_is_reached_and_abstract_ones_are_not";
    alone(name, folder.path().join("socket").to_str().unwrap(), |path| {
        let _listener = UnixListener::bind(path).unwrap();
        let hidden = SocketAddr::from_abstract_name(path.as_bytes()).unwrap();
        let _hidden = UnixListener::bind_addr(&hidden).unwrap();
        draw(&[read(ReadKind::Unix, path)]);
        assert!(UnixStream::connect(path).is_ok());
        if scopes() {
            assert_eq!(errno(UnixStream::connect_addr(&hidden)), EPERM);
        }
        assert_eq!(errno(TcpStream::connect("127.0.0.1:1")), EACCES);
        assert_eq!(errno(UnixListener::bind("/tmp/x")), EACCES);
    });
}

#[test]
fn granted_netlink_family_is_asked_and_no_other() {
    alone("network::granted_netlink_family_is_asked_and_no_other", "", |_| {
        draw(&[read(ReadKind::Netlink, "sock_diag")]);
        let socket = netlink_socket(netlink::SOCK_DIAG).unwrap();
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0)).unwrap();
        assert_eq!(errno(netlink_socket(netlink::KOBJECT_UEVENT)), EACCES);
        assert_eq!(errno(UdpSocket::bind("127.0.0.1:0")), EACCES);
    });
}
