//! What a log file of plain bytes does not say: when its lines were written, by which stream and
//! run, and where runs began and ended.
//!
//! Beside `logs/is-2026-11-22.log` stands `logs/.index/is-2026-11-22.log.idx`. It is renamed and
//! deleted with its file; a file that was compressed keeps it, because places in it are those of
//! the uncompressed text. Where it is missing or damaged, times are those of the file and streams
//! are not known; nothing else is lost.
//!
//! A record is appended when a start or end of a run, or a loss, is to be remarked, and otherwise
//! when output comes a second or 256 KiB after the last record; so an idle component costs
//! nothing, and a busy one a small write a second.
//!
//! ```text
//!   Begin   magic, flags, time, offset, place, run      all in full
//!   Point   + time, + offset, + place                   output from here on is of this time
//!   Start   as Point, run, pid
//!   Exit    as Point, run, expected, words
//!   Gap     as Point, lost bytes, lost lines            before here something is missing
//!   Runs    lengths of stretches: out, err, out, …      on from where the last record ended
//! ```
//! Numbers are LEB128, differences of time zigzag. A *place* counts everything that the component
//! ever wrote, lost bytes included, and each remark as one more: it is what readers know as the
//! number of a record. A `Begin` can be found by its magic after a damaged record.

mod decode;
mod encode;
mod writer;

pub(super) use decode::{Decoder, Mark};
pub(super) use writer::Index;

use std::path::{Path, PathBuf};

/// Comes first in every `Begin`, hence in every index.
const MAGIC: [u8; 8] = *b"\xf7s7idx\x01\n";

const POINT: u8 = 2;
const START: u8 = 3;
const EXIT: u8 = 4;
const GAP: u8 = 5;
const RUNS: u8 = 6;

/// Flag of a `Begin`: lines that were open before it end there.
const FRESH: u8 = 1;

/// The folder of indexes in a log's folder, and what their names end with.
pub(super) const FOLDER: &str = ".index";
pub(super) const SUFFIX: &str = ".idx";

/// A moment in the life of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::logs) struct Place {
    /// Milliseconds since 1970.
    pub time: i64,
    /// In the file.
    pub offset: u64,
    /// In everything that was ever written.
    pub position: u64,
}

/// What a record says of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) enum Entry {
    Begin { fresh: bool, run: u64 },
    Point,
    Start { run: u64, pid: u32 },
    Exit { run: u64, expected: bool, text: String },
    Gap { bytes: u64, lines: u64 },
}

/// The index of a log file, by the file's plain name (`is-2026-11-22.001.log`).
pub(super) fn path_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    folder.join(FOLDER).join(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{encode::Encoder, *};

    fn place() -> impl Strategy<Value = Place> {
        (-1_000_000_i64..4_000_000_000_000, 0..1_u64 << 40, 0..1_u64 << 53)
            .prop_map(|(time, offset, position)| Place { time, offset, position })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            Just(Entry::Point),
            (any::<u64>(), any::<u32>()).prop_map(|(run, pid)| Entry::Start { run, pid }),
            (any::<u64>(), any::<bool>(), ".{0,40}")
                .prop_map(|(run, expected, text)| Entry::Exit { run, expected, text }),
            (any::<u64>(), any::<u64>()).prop_map(|(bytes, lines)| Entry::Gap { bytes, lines }),
            (any::<bool>(), any::<u64>()).prop_map(|(fresh, run)| Entry::Begin { fresh, run }),
        ]
    }

    fn read(bytes: &[u8]) -> Vec<(Place, Entry)> {
        let mut decoder = Decoder::new(bytes);
        std::iter::from_fn(|| decoder.next()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            entries in prop::collection::vec((place(), entry()), 0..20)
        ) {
            let mut encoder = Encoder::default();
            let mut expected: Vec<(Place, Entry)> = Vec::new();
            for (mut place, mut entry) in entries {
                if expected.is_empty() {
                    entry = Entry::Begin { fresh: true, run: 0 };
                } else if !matches!(entry, Entry::Begin { .. }) {
                    let (last, _) = expected.last().expect("not empty");
                    place.offset = place.offset.max(last.offset);
                    place.position = place.position.max(last.position);
                }
                encoder.entry(place, &entry);
                expected.push((place, entry));
            }
            prop_assert_eq!(read(&encoder.out), expected);
        }

        #[test]
        fn nothing_panics(rubbish in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&rubbish);
        }
    }

    #[test]
    fn damage_ends_at_the_next_beginning() {
        let place = Place { time: 5, offset: 7, position: 1 };
        let begin = Entry::Begin { fresh: true, run: 3 };
        for cut in 0..30 {
            let mut encoder = Encoder::default();
            encoder.entry(place, &begin);
            encoder.entry(Place { position: 9, ..place }, &Entry::Start { run: 4, pid: 5 });
            encoder.out.truncate(encoder.out.len().saturating_sub(cut));
            // A damaged record may take the first with it.
            encoder.entry(Place { position: 50, ..place }, &begin);
            encoder.entry(Place { position: 60, ..place }, &begin);
            let entries = read(&encoder.out);
            assert_eq!(entries.last().map(|(place, _)| place.position), Some(60), "{cut}");
        }
    }

    #[test]
    fn streams_are_told_by_where_the_second_writes() {
        let mut encoder = Encoder::default();
        let place = |offset| Place { time: 0, offset, position: offset };
        encoder.entry(place(100), &Entry::Begin { fresh: true, run: 1 });
        encoder.runs(&[10, 5, 20, 7]);
        encoder.entry(place(150), &Entry::Point);
        encoder.runs(&[0, 3]);
        let mut decoder = Decoder::new(encoder.out.as_slice());
        while decoder.next().is_some() {}
        assert_eq!(decoder.take_errs(), [(110, 115), (135, 142), (142, 145)]);
    }

    #[test]
    fn an_index_stands_in_a_folder_of_its_own() {
        let path = path_of(Path::new("/x/logs/is-2026-11-22.log"));
        assert_eq!(path, Path::new("/x/logs/.index/is-2026-11-22.log.idx"));
    }
}
