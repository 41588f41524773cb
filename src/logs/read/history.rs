//! A log's files as one text, from a beginning that is found without reading what lies before it.

use std::{cell::Cell, collections::VecDeque, io, path::Path};

use jiff::Timestamp;

use super::{
    cursor::{Bounds, Cursor, Step},
    filter::{Query, Seen},
    shelf::{Book, Shelf},
};
use crate::logs::index::{Mark, Place};

/// Bytes of text that one step reads.
const STEP: usize = 1 << 20;

/// Between two places at which a search from behind begins to read, at least.
const BLOCK: u64 = 1 << 20;

/// Records that a search from behind counts at most; who wants more wants all.
const MOST_TAIL: u64 = 1_000_000;

/// Milliseconds by which a line may be younger than its index says.
const SLACK: i64 = 1_000;

pub(super) struct History {
    shelf: Shelf,
    state: State,
}

enum State {
    /// The newest so many are looked for, from behind.
    Searching(Box<Search>),
    Reading(Box<Reading>),
    /// Everything that the files hold is read.
    Over,
}

struct Reading {
    cursor: Cursor,
    /// A newer file was seen, so this one does not grow any more.
    sealed: bool,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    More,
    /// The upper bound is reached, or everything is read.
    Over,
}

impl History {
    /// Finds where `query` begins. `wanted`: only the newest so many before `upto` are of use.
    pub fn open(log: &Path, query: &Query, wanted: Option<u64>, bounds: Bounds) -> Self {
        let shelf = Shelf::new(log);
        let books = shelf.books();
        let state = if let Some(wanted) = wanted {
            State::Searching(Box::new(Search::new(books, wanted.min(MOST_TAIL), bounds)))
        } else {
            let (index, mark) = beginning(&books, query, bounds.after);
            reading(&shelf, &books, index, mark, bounds.upto)
        };
        Self { shelf, state }
    }

    /// Closes the files until the next step.
    pub fn park(&mut self) {
        if let State::Reading(now) = &mut self.state {
            now.cursor.park();
        }
    }

    /// Reads on, and gives out what is within the bounds, until that is `room` bytes by what
    /// `emit` says. After a search the lower bound is
    /// raised to the place before the first record that is wanted.
    pub fn step(
        &mut self,
        query: &Query,
        room: usize,
        bounds: &mut Bounds,
        emit: &mut impl FnMut(&Seen<'_>) -> usize,
    ) -> Outcome {
        match &mut self.state {
            State::Over => Outcome::Over,
            State::Searching(search) => {
                if let Some((state, after)) = search.step(&self.shelf, query) {
                    self.state = state;
                    bounds.after = bounds.after.max(after);
                }
                Outcome::More
            }
            State::Reading(now) => match read(now, &self.shelf, room, *bounds, emit) {
                Ok(Some(Next::More)) => Outcome::More,
                Ok(Some(Next::Book(book))) => {
                    self.state = match Cursor::open(&self.shelf, &book, None, bounds.after) {
                        Ok(cursor) => State::Reading(Box::new(Reading { cursor, sealed: false })),
                        Err(error) => unreadable(&error),
                    };
                    Outcome::More
                }
                Ok(None) => {
                    self.state = State::Over;
                    Outcome::Over
                }
                Err(error) => {
                    self.state = unreadable(&error);
                    Outcome::Over
                }
            },
        }
    }
}

enum Next {
    More,
    Book(Book),
}

/// Reads about [`STEP`] bytes; `None` at the end.
fn read(
    now: &mut Reading,
    shelf: &Shelf,
    room: usize,
    bounds: Bounds,
    emit: &mut impl FnMut(&Seen<'_>) -> usize,
) -> io::Result<Option<Next>> {
    let given = Cell::new(0);
    let emit = &mut |seen: &Seen<'_>| given.set(given.get() + emit(seen));
    let mut read = 0;
    while read < STEP && given.get() < room {
        match now.cursor.step(shelf, room, bounds, emit)? {
            Step::Read(count) => read += count + 16,
            Step::Reached => return Ok(None),
            Step::End if now.sealed => {
                now.cursor.finish(bounds, emit);
                return Ok(shelf.after(&now.cursor.book).map(Next::Book));
            }
            // What was written before the newer file began is still to be read.
            Step::End if shelf.after(&now.cursor.book).is_some() => now.sealed = true,
            Step::End => {
                // Nothing is in memory that would go on with it: no Supervisor runs.
                if bounds.upto == u64::MAX {
                    now.cursor.finish(bounds, emit);
                }
                return Ok(None);
            }
        }
    }
    Ok(Some(Next::More))
}

/// A file that is gone or cannot be read is passed over: what is in memory is still worth it.
fn unreadable(error: &io::Error) -> State {
    tracing::debug!(%error, "a log file cannot be read");
    State::Over
}

fn reading(shelf: &Shelf, books: &[Book], index: usize, mark: Option<Mark>, upto: u64) -> State {
    let Some(book) = books.get(index) else { return State::Over };
    match Cursor::open(shelf, book, mark, base(books, index, upto)) {
        Ok(cursor) => State::Reading(Box::new(Reading { cursor, sealed: false })),
        Err(error) => unreadable(&error),
    }
}

/// The place of the first byte of a file that has no index: before that of the files after it.
fn base(books: &[Book], index: usize, upto: u64) -> u64 {
    let known = books[index..].iter().position(|book| book.first.is_some());
    let (until, end) = match known {
        Some(later) => {
            let first = books[index + later].first.unwrap_or_default();
            (index + later, first.position.saturating_sub(first.offset))
        }
        None if upto == u64::MAX => {
            let newest = books.last().map_or(0, |book| book.modified);
            (books.len(), u64::try_from(newest).unwrap_or(0).saturating_mul(1_000))
        }
        None => (books.len(), upto),
    };
    let lengths = books[index..until].iter().map(|book| {
        let text = super::text::Text::open(&book.path, book.is_packed());
        text.and_then(|text| text.length()).unwrap_or(0)
    });
    end.saturating_sub(lengths.sum())
}

/// The file and the place in it from which on everything has to be read.
fn beginning(books: &[Book], query: &Query, after: u64) -> (usize, Option<Mark>) {
    let since = query.since.map_or(i64::MIN, |since| since.as_millisecond() - SLACK);
    let early = |place: Place| place.position <= after || place.time < since;
    // A file is of no use when the one after it begins early enough, too.
    let enough = |index: usize| match books.get(index) {
        Some(Book { first: Some(first), .. }) => early(*first),
        _ => false,
    };
    let by_index = (0..books.len()).rev().find(|index| enough(*index));
    let old = |book: &Book| book.first.is_none() && book.modified < since;
    let by_time = books.iter().rposition(old).map(|index| index + 1);
    let index = by_index.max(by_time).unwrap_or(0);
    let mut last = None;
    if let Some(book) = books.get(index) {
        book.marks(|place, mark| {
            let early = early(place);
            if early {
                last = Some(mark);
            }
            early
        });
    }
    (index, last)
}

/// Looks for the place before the newest so many records, block by block from the end.
struct Search {
    books: Vec<Book>,
    wanted: u64,
    bounds: Bounds,
    found: u64,
    /// The file that is searched, and where in it blocks begin that were not.
    index: usize,
    blocks: Option<Vec<Option<Mark>>>,
    /// Where the block ends that comes next.
    end: u64,
    /// The best beginning so far.
    begin: (usize, Option<Mark>),
}

impl Search {
    fn new(books: Vec<Book>, wanted: u64, bounds: Bounds) -> Self {
        let index = books.len();
        let (found, blocks, end, begin) = (0, None, u64::MAX, (index, None));
        Self { books, wanted, bounds, found, index, blocks, end, begin }
    }

    /// Searches one block; at the end where to read from, and behind which place.
    fn step(&mut self, files: &Shelf, query: &Query) -> Option<(State, u64)> {
        if self.found >= self.wanted {
            return Some(self.result(files, self.bounds.after));
        }
        let Some(blocks) = &mut self.blocks else {
            // The next older file; there is none, or none that could hold anything.
            let since = query.since.unwrap_or(Timestamp::MIN).as_millisecond();
            let newer = self.books.get(self.index).and_then(|book| book.first);
            let over = newer.is_some_and(|first| {
                first.time < since.saturating_sub(SLACK) || first.position <= self.bounds.after
            });
            if self.index == 0 || over {
                return Some(self.result(files, self.bounds.after));
            }
            self.index -= 1;
            self.blocks = Some(blocks_of(&self.books[self.index]));
            self.end = u64::MAX;
            return None;
        };
        let Some(mark) = blocks.pop() else {
            self.blocks = None;
            return None;
        };
        let places = self.places(files, mark, query);
        self.end = mark.map_or(0, |mark| mark.place.offset);
        self.begin = (self.index, mark);
        self.found += places.len() as u64;
        let first = places.front().filter(|_| self.found >= self.wanted);
        first.copied().map(|first| self.result(files, first))
    }

    fn result(&self, files: &Shelf, after: u64) -> (State, u64) {
        let (index, mark) = self.begin;
        let state = if self.wanted == 0 {
            State::Over
        } else {
            reading(files, &self.books, index, mark, self.bounds.upto)
        };
        (state, after)
    }

    /// Where the wanted records of a block begin, of the newest as many as are still wanted.
    fn places(&self, files: &Shelf, mark: Option<Mark>, query: &Query) -> VecDeque<u64> {
        let mut places = VecDeque::new();
        let most = self.wanted - self.found;
        let base = base(&self.books, self.index, self.bounds.upto);
        let Ok(mut cursor) = Cursor::open(files, &self.books[self.index], mark, base) else {
            return places;
        };
        let mut begin = cursor.place();
        let mut count = |seen: &Seen<'_>| {
            // A record begins where the last one ended, whoever wants that.
            let begin = std::mem::replace(&mut begin, seen.position);
            if query.counts(seen) {
                places.push_back(begin);
                if places.len() as u64 > most {
                    places.pop_front();
                }
            }
        };
        let complete = self.index + 1 < self.books.len() || self.bounds.upto == u64::MAX;
        loop {
            if cursor.offset() >= self.end && self.end != u64::MAX {
                break;
            }
            match cursor.step(files, STEP, self.bounds, &mut count) {
                Ok(Step::Read(_)) => {}
                Ok(Step::End) if complete && self.end == u64::MAX => {
                    cursor.finish(self.bounds, &mut count);
                    break;
                }
                Ok(Step::End | Step::Reached) | Err(_) => break,
            }
        }
        places
    }
}

/// Where blocks begin, oldest first.
fn blocks_of(book: &Book) -> Vec<Option<Mark>> {
    let mut blocks = vec![None];
    let mut last = 0;
    book.marks(|place, mark| {
        if place.offset >= last + BLOCK {
            last = place.offset;
            blocks.push(Some(mark));
        }
        true
    });
    blocks
}
