//! For any bytes: a file of rows.

use super::{
    Figure,
    codec::{self, Visitor},
};
use crate::wire::ComponentState;

/// What is read names whom it knows; a file that is cut says the same as far as it goes, and bytes
/// behind what is whole change nothing.
pub(crate) fn segment(bytes: &[u8]) {
    let mut told = Told::default();
    let whole = codec::read(bytes, &mut told);
    assert!(whole <= bytes.len());
    let mut again = Told::default();
    assert_eq!(codec::read(&bytes[..whole], &mut again), whole);
    if whole > 0 {
        // A record that is not whole may have told a part of itself before it was found out.
        assert!(told.words.starts_with(&again.words));
    }
    for part in 1..8 {
        let cut = bytes.len() * part / 8;
        let mut shorter = Told::default();
        assert!(codec::read(&bytes[..cut], &mut shorter) <= whole);
        assert!(told.words.starts_with(&shorter.words), "cut at {cut}");
    }
}

#[derive(Default)]
struct Told {
    names: usize,
    words: Vec<String>,
}

impl Told {
    fn known(&self, index: usize) {
        assert!(index < self.names, "component {index} of {}", self.names);
    }
}

impl Visitor for Told {
    fn named(&mut self, name: &str) {
        self.names += 1;
        self.words.push(name.to_owned());
    }

    fn row(&mut self, at: i64, span: u32) {
        self.words.push(format!("{at} {span}"));
    }

    fn entry(&mut self, index: usize, figure: Figure) {
        self.known(index);
        self.words.push(format!("{index} {figure:?}"));
    }

    fn row_ends(&mut self) {
        self.words.push("end".to_owned());
    }

    fn change(&mut self, at: i64, index: usize, state: Option<ComponentState>) {
        self.known(index);
        self.words.push(format!("{at} {index} {state:?}"));
    }
}
