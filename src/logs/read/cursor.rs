//! One log file, read record by record with the help of its index.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader},
};

use jiff::{SignedDuration, Timestamp};
use memchr::memchr;

use super::{
    filter::{Seen, What},
    shelf::{Book, Shelf},
    stamp,
    text::Text,
};
use crate::logs::{
    assemble::Assembler,
    index::{Decoder, Entry, Mark, Place},
    line::{End, LINE_MAX, Piece, Stream},
};

/// Bytes that are read at once, at most and at least.
const CHUNK: usize = 64 << 10;
const CHUNK_MIN: usize = 4 << 10;

/// A line of a stamped file at most, its stamp and escapes included.
const STAMPED_MAX: usize = 8 * LINE_MAX;

/// How much later than its index says a line may have been written.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

pub(super) struct Cursor {
    pub book: Book,
    /// `None` while the files are closed between two steps.
    text: Option<Text>,
    index: Option<Decoder<BufReader<File>>>,
    /// Where the index is read on when it is opened again.
    index_mark: Option<Mark>,
    /// Next to be read, in the text.
    offset: u64,
    /// The last record before `offset`, and the run that wrote after it.
    anchor: Place,
    run: u64,
    /// The next record.
    next: Option<(Place, Entry)>,
    /// Where the second stream wrote, in order.
    errs: VecDeque<(u64, u64)>,
    assembler: Assembler,
    stamped: bool,
    /// The begun line of a stamped file.
    line: Vec<u8>,
    /// Of which streams pieces are left out, because their line was cut.
    after_cut: [bool; 2],
    chunk: Vec<u8>,
}

/// The places between which records are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Only records that end behind this…
    pub after: u64,
    /// … and not behind this.
    pub upto: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Read(usize),
    /// There is no more in the file for now.
    End,
    /// The upper bound is reached.
    Reached,
}

impl Cursor {
    /// From the beginning of `book`, or from `mark`; `base` is the place of its first byte where
    /// no index says it.
    pub fn open(shelf: &Shelf, book: &Book, mark: Option<Mark>, base: u64) -> io::Result<Self> {
        shelf.open(book, |book| {
            let (cursor, text) = Self::open_as(book, mark, base)?;
            let file = text.file()?;
            Ok((Self { text: Some(text), ..cursor }, file))
        })
    }

    /// Closes the files until the next step: who reads a thousand logs at once must not hold a
    /// thousand of them open.
    pub fn park(&mut self) {
        self.text = None;
        if let Some(index) = self.index.take() {
            self.index_mark = Some(index.mark());
        }
    }

    fn reopen(&mut self, files: &Shelf) -> io::Result<()> {
        let mark = self.index_mark.take();
        let (text, index, book) = files.open(&self.book, |book| {
            let text = Text::open(&book.path, book.is_packed())?;
            let file = text.file()?;
            let index = mark.and_then(|mark| book.decoder(mark).ok());
            Ok(((text, index, book), file))
        })?;
        (self.text, self.index, self.book) = (Some(text), index, book);
        Ok(())
    }

    fn open_as(book: Book, mark: Option<Mark>, base: u64) -> io::Result<(Self, Text)> {
        let mut text = Text::open(&book.path, book.is_packed())?;
        let stamped = starts_stamped(&mut text)?;
        let mut index = book.first.and_then(|_| book.decoder(mark.unwrap_or_default()).ok());
        let mut next = None;
        let (anchor, run) = if let Some(mark) = mark {
            (mark.place, mark.run)
        } else if let Some(decoder) = &mut index
            && let Some((place, entry)) = decoder.next()
        {
            // What stands before the index begins was written before that.
            let position = place.position.saturating_sub(place.offset);
            next = Some((place, entry));
            (Place { time: place.time, offset: 0, position }, 0)
        } else {
            (Place { time: book.modified, offset: 0, position: base }, 0)
        };
        let mut cursor = Self {
            book,
            text: None,
            index,
            index_mark: None,
            offset: anchor.offset,
            anchor,
            run,
            next,
            errs: VecDeque::new(),
            assembler: Assembler::default(),
            stamped,
            line: Vec::new(),
            after_cut: [false; 2],
            chunk: Vec::new(),
        };
        cursor.look_ahead();
        // An index of another file, or of a file that was cut off since.
        if cursor.anchor.offset > text.length()? {
            cursor.index = None;
            cursor.next = None;
            cursor.offset = 0;
            cursor.anchor = Place { time: cursor.book.modified, offset: 0, position: base };
        }
        Ok((cursor, text))
    }

    /// Where what comes next stands in everything that was written.
    pub fn place(&self) -> u64 {
        self.place_of(self.offset)
    }

    /// The same in the text.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads a piece of about `room` bytes and gives out what is whole in it.
    pub fn step(
        &mut self,
        files: &Shelf,
        room: usize,
        bounds: Bounds,
        emit: &mut impl FnMut(&Seen<'_>),
    ) -> io::Result<Step> {
        if self.text.is_none() {
            self.reopen(files)?;
        }
        self.look_ahead();
        if let Some((place, _)) = &self.next
            && place.offset <= self.offset
        {
            return Ok(self.pass_record(bounds, emit));
        }
        let mut want = room.clamp(CHUNK_MIN, CHUNK);
        if let Some((place, _)) = &self.next {
            let left = place.offset - self.offset;
            want = usize::try_from(left).unwrap_or(want).min(want);
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(want.max(chunk.len()), 0);
        let text = self.text.as_mut();
        let read = text.map_or(Ok(0), |text| text.read_at(self.offset, &mut chunk[..want]));
        let step = match read {
            Ok(0) => Ok(Step::End),
            Ok(count) => Ok(self.take(&chunk[..count], bounds, emit)),
            Err(error) => Err(error),
        };
        self.chunk = chunk;
        step
    }

    /// The file is complete: what is open ends here.
    pub fn finish(&mut self, bounds: Bounds, emit: &mut impl FnMut(&Seen<'_>)) {
        self.end_lines(self.place_of(self.offset), bounds, emit);
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.stamped_line(&line, self.place_of(self.offset), bounds, emit);
        }
    }

    fn look_ahead(&mut self) {
        if let (None, Some(index)) = (&self.next, &mut self.index) {
            // It may have grown since it was read to its end.
            self.next = index.next();
            self.errs.extend(index.take_errs());
        }
    }

    /// Where the byte at `offset` is in everything that was written.
    fn place_of(&self, offset: u64) -> u64 {
        let place = self.anchor.position + offset.saturating_sub(self.anchor.offset);
        place.min(self.limit())
    }

    /// No byte before the next record is behind this.
    fn limit(&self) -> u64 {
        match &self.next {
            Some((place, Entry::Begin { .. } | Entry::Point | Entry::Gap { .. })) => place.position,
            Some((place, _)) => place.position.saturating_sub(1),
            None => u64::MAX,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.anchor.time).unwrap_or_default()
    }

    /// Passes over a record of the index, and gives out what it remarks.
    fn pass_record(&mut self, bounds: Bounds, emit: &mut impl FnMut(&Seen<'_>)) -> Step {
        let here = self.place_of(self.offset);
        let Some((place, entry)) = self.next.clone() else { return Step::End };
        if place.position > bounds.upto {
            self.end_lines(here.min(bounds.upto), bounds, emit);
            if let Entry::Gap { lines, .. } = entry
                && here < bounds.upto
            {
                // Memory has the rest of what the disk did not take.
                let (missing, all) = (bounds.upto - here, place.position - here);
                let lines = u128::from(lines) * u128::from(missing) / u128::from(all);
                let what = What::Dropped { lines: u64::try_from(lines).unwrap_or(u64::MAX).max(1) };
                emit(&Seen { position: bounds.upto, at: self.at(), what });
            }
            return Step::Reached;
        }
        if matches!(entry, Entry::Exit { .. } | Entry::Begin { fresh: true, .. }) {
            self.end_lines(here, bounds, emit);
        }
        self.next = None;
        self.anchor = place;
        let what = match &entry {
            Entry::Begin { run, .. } => {
                self.run = *run;
                None
            }
            Entry::Point => None,
            Entry::Start { run, pid } => {
                self.run = *run;
                Some(What::Start { run: *run, pid: *pid })
            }
            Entry::Exit { run, expected, text } => {
                Some(What::Exit { run: *run, text, expected: *expected })
            }
            Entry::Gap { lines, .. } => Some(What::Dropped { lines: *lines }),
        };
        if let Some(what) = what
            && place.position > bounds.after
        {
            emit(&Seen { position: place.position, at: self.at(), what });
        }
        Step::Read(0)
    }

    fn take(&mut self, bytes: &[u8], bounds: Bounds, emit: &mut impl FnMut(&Seen<'_>)) -> Step {
        let begin = self.offset;
        let mut step = Step::Read(bytes.len());
        while self.offset < begin + bytes.len() as u64 {
            let done = usize::try_from(self.offset - begin).unwrap_or(bytes.len());
            let (stream, length) = self.stretch(bytes.len() - done);
            let place = self.place_of(self.offset);
            if place >= bounds.upto {
                self.end_lines(bounds.upto, bounds, emit);
                step = Step::Reached;
                break;
            }
            // Lines end at the bounds: somebody has been given the first piece already.
            let to_bound = [bounds.after, bounds.upto]
                .into_iter()
                .filter(|bound| *bound > place)
                .map(|bound| usize::try_from(bound - place).unwrap_or(usize::MAX))
                .min();
            let length = length.min(to_bound.unwrap_or(usize::MAX));
            let part = &bytes[done..done + length];
            self.offset += length as u64;
            if self.stamped {
                self.take_stamped(part, place, bounds, emit);
            } else {
                self.take_raw(stream, part, place, bounds, emit);
            }
            if place + length as u64 == bounds.after {
                self.end_lines(bounds.after, bounds, emit);
            }
        }
        step
    }

    /// Which stream wrote at `offset`, and how many of the next bytes.
    fn stretch(&mut self, most: usize) -> (Stream, usize) {
        while self.errs.front().is_some_and(|(_, to)| *to <= self.offset) {
            self.errs.pop_front();
        }
        let length = |to: u64| usize::try_from(to - self.offset).unwrap_or(most).min(most);
        match self.errs.front() {
            Some((from, to)) if *from <= self.offset => (Stream::Err, length(*to)),
            Some((from, _)) => (Stream::Out, length(*from)),
            None => (Stream::Out, most),
        }
    }

    fn take_raw(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        place: u64,
        bounds: Bounds,
        emit: &mut impl FnMut(&Seen<'_>),
    ) {
        let (at, run, limit) = (self.at(), self.run, self.limit());
        let give = giver(at, run, limit, bounds, emit);
        self.assembler.push(stream, bytes, place, give);
    }

    /// Gives out what is open; the next byte begins a line.
    fn end_lines(&mut self, place: u64, bounds: Bounds, emit: &mut impl FnMut(&Seen<'_>)) {
        let (at, run, limit) = (self.at(), self.run, self.limit());
        self.assembler.finish(place, giver(at, run, limit, bounds, emit));
    }

    fn take_stamped(
        &mut self,
        mut bytes: &[u8],
        mut place: u64,
        bounds: Bounds,
        emit: &mut impl FnMut(&Seen<'_>),
    ) {
        while let Some(length) = memchr(b'\n', bytes) {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length + 1..];
            place += length as u64 + 1;
            self.stamped_line(&line, place.min(self.limit()), bounds, emit);
            line.clear();
            self.line = line;
        }
        let room = STAMPED_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// A line of a stamped file, which ends at `position`.
    fn stamped_line(
        &mut self,
        line: &[u8],
        position: u64,
        bounds: Bounds,
        emit: &mut impl FnMut(&Seen<'_>),
    ) {
        let Some(stamped) = stamp::read(line) else {
            // Written before the setting changed.
            let piece = Piece { text: line, end: End::Newline, after_cut: false, upto: 0 };
            giver(self.at(), self.run, u64::MAX, bounds, emit)(Stream::Out, piece, position);
            return;
        };
        // What the Supervisor remarked is in the index, with its figures.
        let Some(stream) = stamped.stream else { return };
        let text = &*stamped.text;
        let after_cut = &mut self.after_cut[stream.index()];
        let cut = stamped.partial && text.len() >= LINE_MAX;
        let wanted = !*after_cut;
        *after_cut = cut || *after_cut && stamped.partial;
        if wanted && position > bounds.after && position <= bounds.upto {
            let (run, slack) = (self.run, SignedDuration::ZERO);
            let what = What::Line { stream, run, text, cut, slack };
            emit(&Seen { position, at: stamped.at, what });
        }
    }
}

/// Passes pieces on as records, those within the bounds.
fn giver(
    at: Timestamp,
    run: u64,
    limit: u64,
    bounds: Bounds,
    emit: &mut impl FnMut(&Seen<'_>),
) -> impl FnMut(Stream, Piece<'_>, u64) {
    move |stream, piece, end| {
        let position = end.min(limit);
        if piece.after_cut || position <= bounds.after || position > bounds.upto {
            return;
        }
        let cut = piece.end == End::Cut;
        let what = What::Line { stream, run, text: piece.text, cut, slack: SLACK };
        emit(&Seen { position, at, what });
    }
}

/// Whether the lines of the file say themselves when they were written.
fn starts_stamped(text: &mut Text) -> io::Result<bool> {
    let mut head = vec![0; 4 << 10];
    let count = text.read_at(0, &mut head)?;
    head.truncate(count);
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(stamp::begins(line))
}
