//! Which files a log has, in their order.

use std::{
    fs::{self, File},
    io::{self, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::super::{
    index::{self, Decoder, Entry, Mark, Place},
    name::{Form, Names, Part},
};

/// How often something is tried that a rotation can come in between of.
const TRIES: usize = 5;

/// A file, whatever its name is. The number of one that is gone is soon that of another, so when
/// it was made is a part of it.
type Identity = (u64, u64, Option<SystemTime>);

/// The files of one log.
pub(super) struct Shelf {
    names: Names,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub part: Part,
    pub path: PathBuf,
    pub index: PathBuf,
    /// Tells it from another file of this name.
    identity: Identity,
    /// When it was written last, in milliseconds since 1970.
    pub modified: i64,
    /// What its index begins with, where it has one.
    pub first: Option<Place>,
}

impl Shelf {
    pub fn new(log: &Path) -> Self {
        Self { names: Names::new(log) }
    }

    /// All files, oldest first. Files are renamed and compressed meanwhile, so the list is made
    /// until it stays the same.
    pub fn books(&self) -> Vec<Book> {
        let mut parts = self.parts();
        for _ in 0..TRIES {
            let books: Vec<Book> = parts.iter().filter_map(|part| self.book(*part)).collect();
            let again = self.parts();
            if again == parts && books.len() == parts.len() {
                return books;
            }
            parts = again;
        }
        parts.into_iter().filter_map(|part| self.book(part)).collect()
    }

    fn parts(&self) -> Vec<Part> {
        let entries = fs::read_dir(&self.names.folder).into_iter().flatten().flatten();
        let mut parts: Vec<Part> = entries
            .filter_map(|entry| self.names.parse(entry.file_name().to_str()?))
            .filter(|part| part.form != Form::Temporary)
            .collect();
        parts.sort_unstable();
        // While a file is compressed there are two of it: the first of them is the plain one.
        parts.dedup_by(|later, earlier| {
            (later.date, later.number) == (earlier.date, earlier.number)
        });
        parts
    }

    fn book(&self, part: Part) -> Option<Book> {
        // Compressed since the folder was looked at.
        self.book_as(part).or_else(|| self.book_as(Part { form: Form::Compressed, ..part }))
    }

    fn book_as(&self, part: Part) -> Option<Book> {
        let path = self.names.path(part);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let index = index::path_of(&self.names.path(Part { form: Form::Plain, ..part }));
        let first = File::open(&index).ok().and_then(|file| {
            let mut decoder = Decoder::new(BufReader::with_capacity(128, file));
            decoder.next().map(|(place, _)| place)
        });
        let modified = metadata.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
        let modified = modified.map_or(0, jiff::Timestamp::as_millisecond);
        Some(Book { part, path, index, identity: identity(&metadata), modified, first })
    }

    /// Opens a file of the list, under the name that it has by now.
    pub fn open<T>(
        &self,
        book: &Book,
        open: impl Fn(Book) -> io::Result<(T, File)>,
    ) -> io::Result<T> {
        let mut book = book.clone();
        let mut tries = 0;
        loop {
            let error = match open(book.clone()) {
                Ok((opened, file)) if identity(&file.metadata()?) == book.identity => {
                    return Ok(opened);
                }
                Ok(_another_of_this_name) => io::ErrorKind::NotFound.into(),
                Err(error) => error,
            };
            tries += 1;
            let books = self.books();
            match find(&books, &book).map(|at| books[at].clone()) {
                Some(found) if tries <= TRIES => book = found,
                _ => return Err(error),
            }
        }
    }

    /// The file after `book`, whatever became of that one's name meanwhile; `None` where it is
    /// the newest.
    pub fn after(&self, book: &Book) -> Option<Book> {
        let books = self.books();
        let next = find(&books, book).map(|at| at + 1);
        let next = next.or_else(|| books.iter().position(|other| other.part > book.part));
        books.into_iter().nth(next?)
    }
}

/// Where the file is in a newer list.
fn find(books: &[Book], book: &Book) -> Option<usize> {
    // Where nobody says when a file was made, its number may be that of one that is gone.
    let same = |other: &Book| {
        let firsts = other.first.zip(book.first);
        other.identity == book.identity && firsts.is_none_or(|(other, first)| other == first)
    };
    let compressed = |other: &Book| {
        let day = (other.part.date, other.part.number) == (book.part.date, book.part.number);
        other.first.map_or(day && book.first.is_none(), |first| Some(first) == book.first)
    };
    books.iter().position(same).or_else(|| books.iter().position(compressed))
}

impl Book {
    pub fn is_packed(&self) -> bool {
        self.part.form == Form::Compressed
    }

    /// A reader of its index, from `mark` on.
    pub fn decoder(&self, mark: Mark) -> io::Result<Decoder<BufReader<File>>> {
        let mut file = File::open(&self.index)?;
        file.seek(SeekFrom::Start(mark.offset))?;
        Ok(Decoder::at(BufReader::new(file), mark))
    }

    /// Calls `visit` with each place at which a line begins, and the mark there, until it says
    /// that this is enough.
    pub fn marks(&self, mut visit: impl FnMut(Place, Mark) -> bool) {
        let Some(mut decoder) = self.first.and_then(|_| self.decoder(Mark::default()).ok()) else {
            return;
        };
        while let Some((place, entry)) = decoder.next() {
            let clean = matches!(entry, Entry::Point | Entry::Begin { fresh: true, .. });
            if clean && !visit(place, decoder.mark()) {
                return;
            }
            decoder.take_errs();
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

#[cfg(not(unix))]
fn identity(metadata: &fs::Metadata) -> Identity {
    (0, metadata.len(), metadata.created().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_compressed_meanwhile_is_found_and_none_is_taken_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a-2026-11-22.001.log"), "one\n").expect("written");
        let shelf = Shelf::new(&path("a.log"));
        let part = shelf.parts()[0];
        // Between the look at the folder and the look at the file.
        fs::rename(path("a-2026-11-22.001.log"), path("a-2026-11-22.001.log.gz")).expect("renamed");
        let book = shelf.book(part).expect("it is still there");
        assert!(book.is_packed());
        // Another file that has got its number, since it is gone.
        let first = |position| Some(Place { time: 1, offset: 0, position });
        let gone = Book { first: first(7), ..book.clone() };
        let part = Part { number: 2, ..part };
        let made = SystemTime::UNIX_EPOCH;
        let (device, number, _) = book.identity;
        let later = Book { part, identity: (device, number, Some(made)), ..gone.clone() };
        let by_text = Book { part, first: first(99), ..gone.clone() };
        let others = [Book { first: first(99), ..later }, by_text];
        assert_eq!(find(&others, &gone), None);
        assert_eq!(find(&[others[0].clone(), gone.clone()], &gone), Some(1));
    }
}
