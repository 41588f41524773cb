//! Records as bytes.

use super::{EXIT, Entry, FRESH, GAP, MAGIC, POINT, Place, RUNS, START};

#[derive(Debug, Default)]
pub(super) struct Encoder {
    pub out: Vec<u8>,
    last: Place,
}

impl Encoder {
    /// Only a `Begin` may go back in the file or in place.
    pub fn entry(&mut self, place: Place, entry: &Entry) {
        match entry {
            Entry::Begin { fresh, run } => {
                self.out.extend_from_slice(&MAGIC);
                self.out.push(if *fresh { FRESH } else { 0 });
                self.number(zigzag(place.time));
                self.number(place.offset);
                self.number(place.position);
                self.number(*run);
            }
            Entry::Point => self.point(POINT, place),
            Entry::Start { run, pid } => {
                self.point(START, place);
                self.number(*run);
                self.number(u64::from(*pid));
            }
            Entry::Exit { run, expected, text } => {
                self.point(EXIT, place);
                self.number(*run);
                self.number(u64::from(*expected));
                self.number(text.len() as u64);
                self.out.extend_from_slice(text.as_bytes());
            }
            Entry::Gap { bytes, lines } => {
                self.point(GAP, place);
                self.number(*bytes);
                self.number(*lines);
            }
        }
        self.last = place;
    }

    /// Lengths of stretches of the two streams in turns, the first of standard output.
    pub fn runs(&mut self, lengths: &[u64]) {
        self.out.push(RUNS);
        self.number(lengths.len() as u64);
        for length in lengths {
            self.number(*length);
        }
    }

    fn point(&mut self, kind: u8, place: Place) {
        self.out.push(kind);
        self.number(zigzag(place.time.wrapping_sub(self.last.time)));
        self.number(place.offset.saturating_sub(self.last.offset));
        self.number(place.position.saturating_sub(self.last.position));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.out.push(value.to_le_bytes()[0]);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
