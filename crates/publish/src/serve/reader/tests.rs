use super::*;

/// Two files with padding between them: `0123456789`, of which the first two are skipped, 5 zeros, `abc`.
fn parts(folder: &Path) -> Arc<[Part]> {
    let (first, second) = (folder.join("first"), folder.join("second"));
    std::fs::write(&first, "0123456789").unwrap();
    std::fs::write(&second, "abc").unwrap();
    Arc::new([
        Part::File { path: first, offset: 2, length: 8 },
        Part::Zeros(5),
        Part::File { path: second, offset: 0, length: 3 },
    ])
}

const WHOLE: &[u8] = b"23456789\0\0\0\0\0abc";

#[test]
fn any_range_is_read_across_parts_in_reads_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    for first in 0..=WHOLE.len() {
        for end in first..=WHOLE.len() {
            for size in 1..=WHOLE.len() {
                let mut reader = Reader::new(Arc::clone(&parts), first as u64..end as u64);
                let mut read = Vec::new();
                while reader.left() > 0 {
                    let mut buffer = vec![1; size.min(usize::try_from(reader.left()).unwrap())];
                    assert_eq!(reader.fill(&mut buffer, read_all).unwrap(), buffer.len());
                    read.extend(buffer);
                }
                assert_eq!(read, &WHOLE[first..end], "{first}..{end} in reads of {size}");
            }
        }
    }
}

#[test]
fn a_file_that_is_too_short_is_an_error_and_not_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    std::fs::write(folder.path().join("first"), "0123").unwrap();
    let error = Reader::new(parts, 0..8).fill(&mut [0; 8], read_all).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_folder_in_place_of_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let part = Part::File { path: folder.path().to_owned(), offset: 0, length: 1 };
    assert!(Reader::new(Arc::new([part]), 0..1).fill(&mut [0], read_all).is_err());
}

#[test]
fn large_buffers_are_used_again_and_only_fast_clients_get_them() {
    let shelf = Arc::new(Shelf::default());
    let large = shelf.buffer(u64::MAX, true);
    assert_eq!(large.as_ref().len(), LARGE);
    assert_eq!(shelf.buffer(u64::MAX, false).as_ref().len(), SMALL);
    assert_eq!(shelf.buffer(7, true).as_ref().len(), 7);
    drop(large);
    assert_eq!(shelf.kept.lock().unwrap().len(), 1);
    let all: Vec<_> = (0..LARGE_BUFFERS).map(|_| shelf.buffer(u64::MAX, true)).collect();
    assert!(all.iter().all(|buffer| buffer.as_ref().len() == LARGE));
    assert_eq!(shelf.buffer(u64::MAX, true).as_ref().len(), SMALL);
    drop(all);
    assert_eq!(shelf.kept.lock().unwrap().len(), KEPT);
}

#[test]
fn what_is_not_at_hand_is_left_for_a_read_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::default());
    let mut reader = Reader::new(parts(folder.path()), 8..16);
    // The padding is there at once; the file behind it was not opened.
    assert_eq!(shelf.read_now(&mut reader, true).unwrap().unwrap(), &WHOLE[8..13]);
    assert_eq!(shelf.read_now(&mut reader, true).unwrap(), None);
    let mut buffer = [0; 2];
    reader.fill(&mut buffer, read_all).unwrap();
    assert_eq!(&buffer, b"ab");
    let last = shelf.read_now(&mut reader, true).unwrap();
    assert!(last.is_none_or(|bytes| bytes == "c"), "not every file system tells what is cached");
}

#[tokio::test]
async fn a_read_that_waits_for_the_disk_is_given_up_with_its_body() {
    let folder = tempfile::tempdir().unwrap();
    let (shelf, parts) = (Arc::new(Shelf::default()), parts(folder.path()));
    let turns = u32::try_from(READS_AT_ONCE).unwrap();
    let _busy = Arc::clone(&shelf.reads).acquire_many_owned(turns).await.unwrap();
    drop(shelf.read(Reader::new(Arc::clone(&parts), 0..8), false));
    while Arc::strong_count(&parts) > 1 {
        tokio::task::yield_now().await;
    }
}
