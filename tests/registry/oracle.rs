//! A second opinion on XML: roxmltree. What it refuses we refuse, and where both accept, the
//! trees agree. We refuse more: document types, other versions and encodings than XML 1.0 in
//! UTF-8, depth beyond 32, more than 64 attributes, an undeclared prefix made nothing.
//!
//! The tree is private to the registry: [`well_formed`] sees it through what the registry says,
//! the property tests beside the tree compare it node by node.

use std::fs;

use proptest::prelude::*;

use super::support::{files, read};

/// What a change of bytes may put in.
const FRAGMENTS: &[&str] = &[
    "<",
    ">",
    "/",
    "/>",
    "</",
    "&",
    ";",
    "&amp;",
    "&lt",
    "&#9;",
    "&#0;",
    "\"",
    "'",
    "=",
    " ",
    "\n",
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "--",
    "<?",
    "?>",
    "<?xml ",
    "<!DOCTYPE x>",
    "xmlns=\"\"",
    "\u{feff}",
    "\u{0}",
    "\u{1b}",
    "\u{fffe}",
    "é",
    "SV::",
    "SV::log",
    "${",
    "}",
    "${HOME:-",
    "::",
    "<supervisor>",
    "</servers>",
    "id=\"a\"",
    "99999999999999999999",
    "-1",
    "NaN",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, usize),
    Delete(usize, usize),
    Byte(usize, u8),
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0_usize..1 << 20;
    prop_oneof![
        (at.clone(), 0..FRAGMENTS.len()).prop_map(|(at, fragment)| Change::Insert(at, fragment)),
        (at.clone(), 1_usize..40).prop_map(|(at, length)| Change::Delete(at, length)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at.clone(), at, 1_usize..80).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let length = bytes.len().max(1);
    match *change {
        Change::Insert(at, fragment) => {
            let at = at % length;
            bytes.splice(at..at, FRAGMENTS[fragment].bytes());
        }
        Change::Delete(at, count) => {
            let at = (at % length).min(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::Byte(at, byte) => {
            if let Some(place) = bytes.get_mut(at % length) {
                *place = byte;
            }
        }
        Change::Copy(from, to, count) => {
            let from = (from % length).min(bytes.len());
            let part = bytes[from..(from + count).min(bytes.len())].to_vec();
            let to = to % length;
            bytes.splice(to.min(bytes.len())..to.min(bytes.len()), part);
        }
    }
}

fn good_files() -> Vec<Vec<u8>> {
    files("good").into_iter().map(|(_, path)| fs::read(path).expect("a readable file")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever becomes of a file: an answer, never a panic; and never one that is laxer than
    /// roxmltree's.
    #[test]
    fn a_damaged_registry_is_judged_no_laxer_than_by_roxmltree(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let files = good_files();
        let mut bytes = file.get(&files).clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        let judged = read(&bytes);
        let accepted = std::str::from_utf8(&bytes)
            .is_ok_and(|text| roxmltree::Document::parse(text).is_ok());
        if judged.is_ok() {
            prop_assert!(accepted, "accepted: {}", String::from_utf8_lossy(&bytes));
        }
        if let Err(problems) = judged {
            prop_assert!(problems.has_errors());
            let rendered = problems.render(false, 80);
            let unsafe_to_show = rendered.contains(['\u{1b}', '\0']);
            prop_assert!(!unsafe_to_show, "{rendered}");
        }
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
    }
}
