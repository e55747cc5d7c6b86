//! Any bytes as bencoding: no panic, and what the strict decoder takes is exactly what the encoder writes.

#![no_main]

use bencode::{Encoder, Kind, Options, Value, decode, decode_prefix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let lenient = decode_prefix(data, Options::LENIENT);
    let Ok(decoded) = decode(data, Options::STRICT) else { return };
    assert!(lenient.is_ok(), "the lenient decoder refuses what the strict one takes");
    assert!(decoded.root().is_sorted());
    let mut encoder = Encoder::new();
    write(decoded.root(), &mut encoder);
    assert_eq!(encoder.finish(), data);
});

/// The decoder bounds the depth, so this may recurse.
fn write(value: Value<'_>, out: &mut Encoder) {
    match value.kind() {
        Kind::Int(number) => out.int(number),
        Kind::Bytes(bytes) => out.bytes(bytes),
        Kind::List(list) => out.list(|out| list.iter().for_each(|value| write(value, out))),
        Kind::Dict(dict) => out.dict(|out| {
            for (key, value) in dict.iter() {
                let mut encoded = Encoder::new();
                write(value, &mut encoded);
                out.raw(key, &encoded.finish());
            }
        }),
    }
}
