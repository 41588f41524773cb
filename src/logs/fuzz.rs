//! For any bytes: an index, and a log file with an index that lies.

use std::{fs, path::Path};

use super::{
    index::{Decoder, FOLDER},
    read::{Merged, Progress, Query, Reader},
};
use crate::{model::ComponentId, wire::LogEntry};

/// An index that is cut says the same as far as it goes.
pub(crate) fn index(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut decoder = Decoder::new(bytes);
        std::iter::from_fn(|| decoder.next()).map(|one| format!("{one:?}")).collect::<Vec<_>>()
    };
    let whole = read(bytes);
    assert!(whole.len() <= bytes.len());
    for part in 1..4 {
        let cut = read(&bytes[..bytes.len() * part / 4]);
        // Damage at the cut may be given up where the whole goes on to find a beginning.
        assert!(whole.starts_with(&cut), "{cut:?} of {whole:?}");
    }
}

/// The first half is the output, the second its index. Without an index every line is there once
/// and in order; with one that lies reading ends, and nothing is told that was not written.
pub(crate) fn files(bytes: &[u8]) {
    let (text, index) = bytes.split_at(bytes.len() / 2);
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a-2026-11-22.log"), text).expect("written");
    let written: String = text.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
    let (lines, numbers) = told(folder.path());
    assert_eq!(lines.concat(), written);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");

    fs::create_dir(folder.path().join(FOLDER)).expect("made");
    fs::write(folder.path().join(FOLDER).join("a-2026-11-22.log.idx"), index).expect("written");
    let (lines, _as_the_index_says) = told(folder.path());
    let lengths = lines.iter().map(String::len).sum::<usize>();
    assert!(lengths <= 3 * text.len(), "{lengths} bytes of {}", text.len());
}

/// The lines, and the numbers of all records.
fn told(folder: &Path) -> (Vec<String>, Vec<u64>) {
    let id = ComponentId::new("a").expect("an id");
    let reader = Reader::of_files(id, &folder.join("a.log"), Query::default());
    let mut merged = Merged::new(vec![reader]);
    let (mut lines, mut numbers, mut steps) = (Vec::new(), Vec::new(), 0);
    while merged.read(1 << 20, |_, record| {
        numbers.push(record.seq);
        if let LogEntry::Line { text, .. } = &record.entry {
            lines.push(text.clone());
        }
    }) == Progress::More
    {
        steps += 1;
        assert!(steps < 10_000, "it never ends");
    }
    (lines, numbers)
}
