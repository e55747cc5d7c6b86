//! From values to canonical bytes (BEP 3).
//!
//! Entries of a dictionary may be written in any order: they are sorted when it ends.

/// Writes values, one behind the other.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

/// Writes the entries of one dictionary. Writing a key twice is a mistake of the caller; the later one stays.
#[derive(Debug)]
pub struct DictEncoder<'a> {
    encoder: &'a mut Encoder,
    start: usize,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Vec<u8>,
    /// Where it begins, key included, counted from the start of the dictionary's entries.
    start: usize,
}

/// The bytes of a dictionary: the usual document.
pub fn encode_dict(fill: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(fill);
    encoder.finish()
}

impl Encoder {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes an integer.
    pub fn int(&mut self, number: i64) {
        self.out.extend_from_slice(format!("i{number}e").as_bytes());
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
        self.out.extend_from_slice(bytes);
    }

    /// Writes a value that is encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// Writes a list of whatever `fill` writes.
    pub fn list(&mut self, fill: impl FnOnce(&mut Encoder)) {
        self.out.push(b'l');
        fill(self);
        self.out.push(b'e');
    }

    /// Writes a dictionary of the entries that `fill` writes.
    pub fn dict(&mut self, fill: impl FnOnce(&mut DictEncoder<'_>)) {
        self.out.push(b'd');
        let start = self.out.len();
        let mut dict = DictEncoder { encoder: self, start, entries: Vec::new() };
        fill(&mut dict);
        dict.sort();
        self.out.push(b'e');
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

impl DictEncoder<'_> {
    /// Writes an entry whose value is an integer.
    pub fn int(&mut self, key: impl AsRef<[u8]>, number: i64) {
        self.key(key.as_ref()).int(number);
    }

    /// Writes an entry whose value is a byte string.
    pub fn bytes(&mut self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) {
        self.key(key.as_ref()).bytes(bytes);
    }

    /// Writes an entry whose value is encoded already.
    pub fn raw(&mut self, key: impl AsRef<[u8]>, encoded: &[u8]) {
        self.key(key.as_ref()).raw(encoded);
    }

    /// Writes an entry whose value is a list.
    pub fn list(&mut self, key: impl AsRef<[u8]>, fill: impl FnOnce(&mut Encoder)) {
        self.key(key.as_ref()).list(fill);
    }

    /// Writes an entry whose value is a dictionary.
    pub fn dict(&mut self, key: impl AsRef<[u8]>, fill: impl FnOnce(&mut DictEncoder<'_>)) {
        self.key(key.as_ref()).dict(fill);
    }

    fn key(&mut self, key: &[u8]) -> &mut Encoder {
        self.entries.push(Entry { key: key.to_vec(), start: self.encoder.out.len() - self.start });
        self.encoder.bytes(key);
        self.encoder
    }

    fn sort(self) {
        if self.entries.is_sorted_by(|a, b| a.key < b.key) {
            return;
        }
        let written = self.encoder.out.split_off(self.start);
        let ends = self.entries.iter().skip(1).map(|entry| entry.start).chain([written.len()]);
        let mut entries: std::collections::BTreeMap<_, _> = std::collections::BTreeMap::new();
        for (entry, end) in self.entries.iter().zip(ends) {
            entries.insert(&entry.key, entry.start..end);
        }
        for span in entries.into_values() {
            self.encoder.out.extend_from_slice(written.get(span).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_whatever_the_order_of_writing() {
        let bytes = encode_dict(|dict| {
            dict.int("b", -3);
            dict.list("a", |list| {
                list.bytes("x");
                list.dict(|inner| {
                    inner.bytes("z", b"");
                    inner.raw("y", b"le");
                });
            });
            dict.dict("", |_| {});
        });
        assert_eq!(bytes, b"d0:de1:al1:xd1:yle1:z0:ee1:bi-3ee");
    }

    #[test]
    fn the_later_of_two_equal_keys_stays() {
        let bytes = encode_dict(|dict| {
            dict.int("a", 1);
            dict.int("a", 2);
        });
        assert_eq!(bytes, b"d1:ai2ee");
    }
}
