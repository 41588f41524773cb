//! Records out of bytes, one after the other, so that an index of any size needs no memory.

use std::{
    collections::VecDeque,
    io::{BufRead, ErrorKind},
};

use super::{EXIT, Entry, FRESH, GAP, MAGIC, POINT, Place, RUNS, START};

/// The longest words of an exit that are believed; more is damage.
const LONGEST_TEXT: u64 = 4 << 10;

/// Reads an index. Damage ends at the next `Begin`.
#[derive(Debug)]
pub(in crate::logs) struct Decoder<R> {
    source: R,
    mark: Mark,
    /// Where the second stream wrote, as far as it was read and not taken.
    errs: VecDeque<(u64, u64)>,
}

/// Where in an index reading can go on.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::logs) struct Mark {
    /// In the index.
    pub offset: u64,
    /// Of the last record.
    pub place: Place,
    /// The run that writes after it.
    pub run: u64,
    /// Streams are known up to here in the file.
    covered: u64,
}

impl<R: BufRead> Decoder<R> {
    pub fn new(source: R) -> Self {
        Self::at(source, Mark::default())
    }

    /// From `mark` on; the source stands there.
    pub fn at(source: R, mark: Mark) -> Self {
        Self { source, mark, errs: VecDeque::new() }
    }

    /// After the record that was read last.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Where the second stream wrote, in the order of the file: `(from, to)`. What was taken once
    /// is not told again.
    pub fn take_errs(&mut self) -> VecDeque<(u64, u64)> {
        std::mem::take(&mut self.errs)
    }

    /// The next record with a place. `None` at the end, or where it cannot be read further.
    pub fn next(&mut self) -> Option<(Place, Entry)> {
        loop {
            let begun = self.mark;
            match self.record() {
                Ok(Some(entry)) => return Some((self.mark.place, entry)),
                Ok(None) => {}
                Err(Stop::End) => return None,
                Err(Stop::Damage) => {
                    self.mark.place = begun.place;
                    self.find_magic()?;
                    match self.begin() {
                        Ok(entry) => return Some((self.mark.place, entry)),
                        Err(Stop::Damage) => {}
                        Err(Stop::End) => return None,
                    }
                }
            }
        }
    }

    /// One record; `None` for one that has no place.
    fn record(&mut self) -> Result<Option<Entry>, Stop> {
        let entry = match self.byte()? {
            first if first == MAGIC[0] => {
                for expected in &MAGIC[1..] {
                    self.expect(*expected)?;
                }
                self.begin()?
            }
            POINT => {
                self.point()?;
                Entry::Point
            }
            START => {
                self.point()?;
                let (run, pid) = (self.number()?, self.number()?);
                self.mark.run = run;
                Entry::Start { run, pid: u32::try_from(pid).map_err(|_| Stop::Damage)? }
            }
            EXIT => {
                self.point()?;
                let (run, expected) = (self.number()?, self.number()? != 0);
                Entry::Exit { run, expected, text: self.text()? }
            }
            GAP => {
                self.point()?;
                Entry::Gap { bytes: self.number()?, lines: self.number()? }
            }
            RUNS => {
                self.runs()?;
                return Ok(None);
            }
            _ => return Err(Stop::Damage),
        };
        Ok(Some(entry))
    }

    /// What follows the magic.
    fn begin(&mut self) -> Result<Entry, Stop> {
        let flags = self.byte()?;
        let time = unzigzag(self.number()?);
        let (offset, position, run) = (self.number()?, self.number()?, self.number()?);
        self.mark.place = Place { time, offset, position };
        self.mark.run = run;
        self.mark.covered = offset;
        Ok(Entry::Begin { fresh: flags & FRESH != 0, run })
    }

    fn point(&mut self) -> Result<(), Stop> {
        let time = unzigzag(self.number()?);
        let (offset, position) = (self.number()?, self.number()?);
        let last = self.mark.place;
        let add = |a: u64, b: u64| a.checked_add(b).ok_or(Stop::Damage);
        self.mark.place = Place {
            time: last.time.wrapping_add(time),
            offset: add(last.offset, offset)?,
            position: add(last.position, position)?,
        };
        Ok(())
    }

    fn runs(&mut self) -> Result<(), Stop> {
        let count = self.number()?;
        for index in 0..count {
            let length = self.number()?;
            let begin = self.mark.covered;
            self.mark.covered = begin.checked_add(length).ok_or(Stop::Damage)?;
            if index % 2 == 1 {
                self.errs.push_back((begin, self.mark.covered));
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, Stop> {
        let length = self.number()?;
        if length > LONGEST_TEXT {
            return Err(Stop::Damage);
        }
        let bytes = (0..length).map(|_| self.byte()).collect::<Result<Vec<u8>, _>>()?;
        String::from_utf8(bytes).map_err(|_| Stop::Damage)
    }

    fn number(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Stop::Damage)
    }

    fn expect(&mut self, expected: u8) -> Result<(), Stop> {
        if self.byte()? == expected { Ok(()) } else { Err(Stop::Damage) }
    }

    /// Reads until after the next magic.
    fn find_magic(&mut self) -> Option<()> {
        let mut window = [0; MAGIC.len()];
        loop {
            window.rotate_left(1);
            window[MAGIC.len() - 1] = self.byte().ok()?;
            if window == MAGIC {
                return Some(());
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = loop {
            match self.source.fill_buf() {
                Ok([]) => return Err(Stop::End),
                Ok([byte, ..]) => break *byte,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_unreadable) => return Err(Stop::End),
            }
        };
        self.source.consume(1);
        self.mark.offset += 1;
        Ok(byte)
    }
}

/// Why there is no record.
enum Stop {
    End,
    Damage,
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
