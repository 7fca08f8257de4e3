//! The entry as C sees it: layouts, and every mistake that its functions have to bear.

use std::mem::offset_of;

use super::*;

/// perfwatch.h says the same, and `tests/suite/c_entry.rs` holds a C compiler to it.
#[test]
fn structs_lie_in_memory_as_contract_1_0_has_them() {
    let plugin = [
        offset_of!(PlainPlugin, size),
        offset_of!(PlainPlugin, contract),
        offset_of!(PlainPlugin, manifest),
        offset_of!(PlainPlugin, create),
        offset_of!(PlainPlugin, collect),
        offset_of!(PlainPlugin, destroy),
    ];
    assert_eq!((size_of::<PlainPlugin>(), plugin), (48, [0, 8, 16, 24, 32, 40]));
    let host = [
        offset_of!(PlainHost, size),
        offset_of!(PlainHost, agent),
        offset_of!(PlainHost, options),
        offset_of!(PlainHost, root),
        offset_of!(PlainHost, proc),
        offset_of!(PlainHost, sys),
        offset_of!(PlainHost, net),
        offset_of!(PlainHost, page_size),
        offset_of!(PlainHost, clock_ticks),
        offset_of!(PlainHost, is_foreign),
        offset_of!(PlainHost, metric),
        offset_of!(PlainHost, table),
        offset_of!(PlainHost, column),
        offset_of!(PlainHost, option_int),
        offset_of!(PlainHost, option_float),
        offset_of!(PlainHost, option_text),
        offset_of!(PlainHost, option_item),
        offset_of!(PlainHost, set_u64),
        offset_of!(PlainHost, set_i64),
        offset_of!(PlainHost, set_f64),
        offset_of!(PlainHost, set_bool),
        offset_of!(PlainHost, set_text),
        offset_of!(PlainHost, row),
        offset_of!(PlainHost, row_failed),
        offset_of!(PlainHost, part_failed),
        offset_of!(PlainHost, time_left),
        offset_of!(PlainHost, fail),
        offset_of!(PlainHost, space),
        offset_of!(PlainHost, log),
    ];
    assert!(host.iter().copied().eq((0..29).map(|place| 8 * place)));
    assert_eq!(size_of::<PlainHost>(), 232);
}
