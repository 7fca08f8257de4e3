//! Layers into one tree, key by key, the later wins. Each value keeps its origin.

use plugin_api::host_side::tree::{Data, Table};

/// Lays `over` on `base`. Tables are merged; anything else, lists included, is replaced as a whole.
pub fn merge(base: &mut Table, over: Table) {
    for entry in over.entries {
        match base.entries.iter_mut().find(|known| known.key == entry.key) {
            None => base.entries.push(entry),
            Some(known) => match (&mut known.value.data, entry.value.data) {
                (Data::Table(inner), Data::Table(over)) => {
                    merge(inner, over);
                    // What is missing in a table is told where it was last written.
                    (known.key_origin, known.value.origin) = (entry.key_origin, entry.value.origin);
                }
                (known_data, data) => {
                    *known_data = data;
                    (known.key_origin, known.value.origin) = (entry.key_origin, entry.value.origin);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::host_side::tree::parse;

    fn merged(layers: &[&str]) -> Table {
        let mut table = Table::default();
        for (source, text) in layers.iter().enumerate() {
            let (layer, faults) = parse(source, text);
            assert_eq!(faults, []);
            merge(&mut table, layer);
        }
        table
    }

    #[test]
    fn later_layer_wins_key_by_key_and_each_value_knows_its_own() {
        let table = merged(&["[a]\nx = 1\ny = 1\nl = [1, 2]\n", "[a]\ny = 2\nl = [3]\n[b]\nz = 3\n"]);
        let Data::Table(a) = &table.value("a").unwrap().data else { panic!("not a table") };
        let value = |key: &str| a.value(key).map(|value| (value.data.clone(), value.origin.source)).unwrap();
        assert_eq!(value("x"), (Data::Integer(1), 0));
        assert_eq!(value("y"), (Data::Integer(2), 1));
        assert!(matches!(value("l"), (Data::Array(items), 1) if items.len() == 1));
        assert!(table.value("b").is_some());
    }

    #[test]
    fn table_replaces_a_value_and_a_value_a_table() {
        let table = merged(&["a = 1\n[b]\nx = 1\n", "b = 2\n[a]\nx = 1\n"]);
        assert!(matches!(table.value("a").unwrap().data, Data::Table(_)));
        assert_eq!(table.value("b").unwrap().data, Data::Integer(2));
    }
}
