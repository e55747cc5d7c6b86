//! What is encoded is decoded to the same, and strange bytes never panic.

use std::collections::BTreeMap;

use bencode::{Encoder, Kind, Options, Value, decode, decode_prefix};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(BTreeMap<Vec<u8>, Tree>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![any::<i64>().prop_map(Tree::Int), any::<Vec<u8>>().prop_map(Tree::Bytes)];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            prop::collection::btree_map(any::<Vec<u8>>(), inner, 0..8).prop_map(Tree::Dict),
        ]
    })
}

fn encode(tree: &Tree, out: &mut Encoder) {
    match tree {
        Tree::Int(number) => out.int(*number),
        Tree::Bytes(bytes) => out.bytes(bytes),
        Tree::List(list) => out.list(|out| list.iter().for_each(|tree| encode(tree, out))),
        // Backwards, so that the encoder has to sort.
        Tree::Dict(dict) => out.dict(|out| {
            for (key, tree) in dict.iter().rev() {
                let mut value = Encoder::new();
                encode(tree, &mut value);
                out.raw(key, &value.finish());
            }
        }),
    }
}

fn read(value: Value<'_>) -> Tree {
    match value.kind() {
        Kind::Int(number) => Tree::Int(number),
        Kind::Bytes(bytes) => Tree::Bytes(bytes.to_vec()),
        Kind::List(list) => Tree::List(list.iter().map(read).collect()),
        Kind::Dict(dict) => Tree::Dict(dict.iter().map(|(key, value)| (key.to_vec(), read(value))).collect()),
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(tree in trees()) {
        let mut out = Encoder::new();
        encode(&tree, &mut out);
        let bytes = out.finish();
        let decoded = decode(&bytes, Options::STRICT).unwrap();
        prop_assert_eq!(read(decoded.root()), tree);
        prop_assert!(decoded.root().is_sorted());
    }

    #[test]
    fn strange_bytes_are_read_or_refused(bytes in "[idel0-9:a-]{0,64}") {
        if let Ok(decoded) = decode_prefix(bytes.as_bytes(), Options::LENIENT) {
            let _ = read(decoded.root());
        }
    }
}
