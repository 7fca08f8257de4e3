//! How a running agent is asked and told, and whom it tells.
//!
//! It is asked at a socket that its own user and root may connect to: [`socket`] is the place, [`server`] who answers there and
//! [`client`] who asks; [`wire`] is what both say, [`status`] the agent as it stands. It tells the service manager by [`notify`], and is told of changes in its folders by [`watch`].
//!
//! Promises that no tick waits for any of it: `status` reads books that are locked for microseconds, and what takes longer has a
//! thread of its own. Refuses to do anything itself: what an ask comes to is the business of whoever is [`server::Answering`].
#![forbid(unsafe_code)]

pub mod attend;
pub mod client;
pub mod notify;
pub mod server;
pub mod socket;
pub mod status;
pub mod watch;
pub mod wire;
