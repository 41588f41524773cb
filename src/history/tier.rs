//! Rows of one length: the segment that is written to, and those before it.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Figure,
    codec::{self, MAGIC, Record, Visitor, Who},
};
use crate::{model::ComponentId, wire::ComponentState};

/// How long a tier's rows are, and how far they go back.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Milliseconds of a row.
    pub row: u32,
    /// Milliseconds of a segment.
    pub segment: i64,
    /// Milliseconds of it all.
    pub kept: i64,
    /// The beginning of its files' names.
    pub name: &'static str,
}

/// A segment that has grown beyond this is closed early.
const FULL: usize = 4 << 20;

/// All segments of a tier together; beyond it the oldest go.
const MOST_BYTES: u64 = 64 << 20;

const SUFFIX: &str = ".s7h";

/// Rows, and where they are.
#[derive(Debug)]
pub struct Tier {
    pub shape: Shape,
    place: Place,
    open: Option<Open>,
}

#[derive(Debug)]
enum Place {
    /// With the time of its first row.
    Memory(VecDeque<(i64, Vec<u8>)>),
    Folder(PathBuf),
}

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    /// Time of its first row.
    begin: i64,
    length: usize,
    /// None: in memory, where it is the newest.
    file: Option<File>,
    known: Known,
}

/// Who is in a segment, and with what figures last.
#[derive(Debug, Default)]
struct Known {
    /// By the recorder's slot: index in the segment and last figure.
    slots: Vec<Option<(u32, Figure)>>,
    names: u32,
    /// Read back from a file, not yet met again.
    unmet: Vec<(String, u32, Figure)>,
}

impl Tier {
    pub fn in_memory(shape: Shape) -> Self {
        Self { shape, place: Place::Memory(VecDeque::new()), open: None }
    }

    pub fn in_files(shape: Shape, folder: &Path) -> Self {
        Self { shape, place: Place::Folder(folder.to_owned()), open: None }
    }

    /// Whether anything would be lost by [`Tier::rest`].
    pub fn is_resting(&self) -> bool {
        let is_empty = match &self.place {
            Place::Memory(segments) => segments.is_empty(),
            Place::Folder(_) => true,
        };
        self.open.is_none() && is_empty
    }

    /// Nobody needs it for now: what is in memory goes.
    pub fn rest(&mut self) {
        self.open = None;
        if let Place::Memory(segments) = &mut self.place {
            *segments = VecDeque::new();
        }
    }

    /// The slot will be another component's. Should this one come back, it is named anew.
    pub fn forget(&mut self, slot: usize) {
        if let Some(known) = self.open.as_mut().and_then(|open| open.known.slots.get_mut(slot)) {
            *known = None;
        }
    }

    /// A row; `figures` by slot.
    pub fn write_row<'a>(
        &mut self,
        at: i64,
        span: u32,
        figures: impl Iterator<Item = (usize, &'a ComponentId, Figure)>,
    ) -> io::Result<()> {
        self.open_for(at)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut row = Record::row(at, span);
        for (slot, id, figure) in figures {
            open.known.write(slot, id, figure, |who| row.entry(who, figure));
        }
        self.append(&row.finish())
    }

    pub fn write_change(
        &mut self,
        at: i64,
        slot: usize,
        id: &ComponentId,
        state: ComponentState,
    ) -> io::Result<()> {
        self.open_for(at)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let usage = open.known.slots.get(slot).and_then(|known| known.as_ref()?.1.usage);
        let figure = Figure { state: Some(state), usage };
        let mut record = None;
        open.known.write(slot, id, figure, |who| {
            record = Some(Record::change(at, who, Some(state)));
        });
        match record {
            Some(record) => self.append(&record.finish()),
            None => Ok(()),
        }
    }

    /// Opens a segment for a row of this time: the one that is open, the newest file, or a new
    /// one.
    fn open_for(&mut self, at: i64) -> io::Result<()> {
        let fits = |begin: i64, length: usize| {
            length < FULL && (begin..begin + self.shape.segment).contains(&at)
        };
        if self.open.as_ref().is_some_and(|open| fits(open.begin, open.length)) {
            return Ok(());
        }
        let first = self.open.take().is_none();
        match &mut self.place {
            Place::Memory(segments) => {
                segments.push_back((at, MAGIC.to_vec()));
                while segments.front().is_some_and(|(begin, _)| at - begin > self.shape.kept) {
                    segments.pop_front();
                }
                let known = Known::default();
                self.open = Some(Open { begin: at, length: MAGIC.len(), file: None, known });
            }
            Place::Folder(folder) => {
                fs::create_dir_all(&*folder)?;
                let files = files(folder, self.shape.name);
                drop_old(&files, at, self.shape);
                let newest = files.last().filter(|(begin, _, length)| {
                    first && fits(*begin, usize::try_from(*length).unwrap_or(usize::MAX))
                });
                self.open = match newest {
                    Some((begin, path, _)) => Open::again(*begin, path)?,
                    None => None,
                };
                if self.open.is_none() {
                    self.open = Some(Open::anew(at, folder, self.shape.name)?);
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.length += record.len();
        let written = match (&mut open.file, &mut self.place) {
            (Some(file), _) => file.write_all(record),
            (None, Place::Memory(segments)) => {
                if let Some((_, newest)) = segments.back_mut() {
                    newest.extend_from_slice(record);
                }
                Ok(())
            }
            (None, Place::Folder(_)) => Ok(()),
        };
        if written.is_err() {
            // What is behind half a record would never be read: the next row begins anew.
            self.open = None;
        }
        written
    }

    /// Calls `read` with each segment that may hold rows from `from` to `to`, oldest first.
    pub fn segments(&self, from: i64, to: i64, mut read: impl FnMut(&[u8])) {
        match &self.place {
            Place::Memory(segments) => {
                for (begin, bytes) in segments {
                    if *begin <= to && begin + self.shape.segment >= from {
                        read(bytes);
                    }
                }
            }
            Place::Folder(folder) => {
                for (begin, path, _) in files(folder, self.shape.name) {
                    // Its last row may reach a row's length further.
                    let end = begin + self.shape.segment + i64::from(self.shape.row) * 2;
                    if begin - i64::from(self.shape.row) * 2 <= to
                        && end >= from
                        && let Ok(bytes) = fs::read(path)
                    {
                        read(&bytes);
                    }
                }
            }
        }
    }
}

impl Open {
    fn anew(at: i64, folder: &Path, name: &str) -> io::Result<Self> {
        let mut begin = at;
        let file = loop {
            let path = folder.join(format!("{name}-{begin:013}{SUFFIX}"));
            match options().create_new(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => begin += 1,
                answer => break answer,
            }
        };
        let mut file = file?;
        file.write_all(MAGIC)?;
        Ok(Self { begin, length: MAGIC.len(), file: Some(file), known: Known::default() })
    }

    /// Goes on with a file of an earlier Supervisor; `None`: it is not to be written to.
    fn again(begin: i64, path: &Path) -> io::Result<Option<Self>> {
        let bytes = fs::read(path)?;
        let mut state = LastFigures::default();
        let whole = codec::read(&bytes, &mut state);
        if whole == 0 {
            return Ok(None);
        }
        let file = options().open(path)?;
        // Half a record at its end would hide what is written behind it.
        file.set_len(whole as u64)?;
        let unmet = state.figures.into_iter().zip(0..);
        let unmet: Vec<_> = unmet.map(|((name, figure), index)| (name, index, figure)).collect();
        let names = u32::try_from(unmet.len()).unwrap_or(u32::MAX);
        let known = Known { slots: Vec::new(), names, unmet };
        Ok(Some(Self { begin, length: whole, file: Some(file), known }))
    }
}

impl Known {
    /// Calls `write` where the figure differs from what the segment says so far.
    fn write(
        &mut self,
        slot: usize,
        id: &ComponentId,
        figure: Figure,
        write: impl FnOnce(Who<'_>),
    ) {
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        if self.slots[slot].is_none()
            && let Some(at) = self.unmet.iter().rposition(|(name, ..)| name == id.as_str())
        {
            let (_, index, last) = self.unmet.remove(at);
            self.slots[slot] = Some((index, last));
        }
        match &mut self.slots[slot] {
            Some((_, last)) if *last == figure => {}
            Some((index, last)) => {
                *last = figure;
                write(Who { index: *index, name: None });
            }
            empty => {
                *empty = Some((self.names, figure));
                write(Who { index: self.names, name: Some(id.as_str()) });
                self.names += 1;
            }
        }
    }
}

/// What a segment says at its end.
#[derive(Debug, Default)]
struct LastFigures {
    figures: Vec<(String, Figure)>,
}

impl Visitor for LastFigures {
    fn named(&mut self, name: &str) {
        self.figures.push((name.to_owned(), Figure { state: None, usage: None }));
    }

    fn row(&mut self, _at: i64, _span: u32) {}

    fn entry(&mut self, index: usize, figure: Figure) {
        if let Some((_, last)) = self.figures.get_mut(index) {
            *last = figure;
        }
    }

    fn row_ends(&mut self) {}

    fn change(&mut self, _at: i64, index: usize, state: Option<ComponentState>) {
        if let Some((_, last)) = self.figures.get_mut(index) {
            last.state = state;
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Who may write to the folder does not decide where we write.
        options.mode(0o640).custom_flags(libc::O_NOFOLLOW);
    }
    options
}

/// Files of a tier, oldest first: time of the first row, path, bytes.
fn files(folder: &Path, name: &str) -> Vec<(i64, PathBuf, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let file = entry.file_name();
        let rest = file.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
        let begin = rest.strip_suffix(SUFFIX)?.parse().ok()?;
        Some((begin, entry.path(), entry.metadata().ok()?.len()))
    });
    let mut files: Vec<_> = known.collect();
    files.sort();
    files
}

/// Removes what is older than is kept, and the oldest of what is too much.
fn drop_old(files: &[(i64, PathBuf, u64)], now: i64, shape: Shape) {
    let mut bytes = 0;
    for (begin, path, length) in files.iter().rev() {
        bytes += length;
        if now - (begin + shape.segment) > shape.kept || bytes > MOST_BYTES {
            // One that cannot be removed is in nobody's way, and tried again.
            let _gone_already = fs::remove_file(path);
        }
    }
}
