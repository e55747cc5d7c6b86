//! Packet numbers: 16 bits that wrap on the wire, 64 that do not in here.
//!
//! Used by both directions of a connection. Knows nothing of what is numbered.

/// The number that went by `wire` first; with room below it, so that nothing near it is negative.
pub(crate) fn first(wire: u16) -> u64 {
    (1 << 16) + u64::from(wire)
}

/// As it goes on the wire.
#[expect(clippy::cast_possible_truncation, reason = "the wire has the low bits")]
pub(crate) fn wire(number: u64) -> u16 {
    number as u16
}

/// The number next to `near` that goes by `wire`.
pub(crate) fn nearest(near: u64, wire_number: u16) -> u64 {
    let ahead = wire_number.wrapping_sub(wire(near)).cast_signed();
    near.wrapping_add_signed(ahead.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_past_the_wrap_in_both_directions() {
        let near = first(65_534);
        for (wire_number, expected) in
            [(65_534, 0), (65_535, 1), (0, 2), (1, 3), (65_533, -1), (32_765, 32_767)]
        {
            let found = nearest(near, wire_number);
            assert_eq!((found, wire(found)), (near.wrapping_add_signed(expected), wire_number));
        }
    }
}
