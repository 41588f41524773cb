//! The file as a tree of elements, each name, value and text with its exact place.
//!
//! Built from quick-xml's events. quick-xml finds where markup begins and ends; everything that
//! makes a document well-formed is checked here, because an operator whose registry was half
//! understood is misled. Stricter than XML itself: no document type, so that no entity is ever
//! expanded; UTF-8 only; nested at most [`MAX_DEPTH`] deep.
//!
//! Does not know what any element means.

mod builder;
mod bytes;
mod characters;
mod declaration;
mod namespaces;
mod references;
mod tag;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use super::source::Span;

pub(super) use builder::parse;

/// Elements within elements, the root included.
pub(super) const MAX_DEPTH: usize = 32;

#[derive(Debug)]
pub(super) struct Element<'s> {
    /// As written, with its prefix.
    pub name: &'s str,
    pub name_span: Span,
    pub attributes: Vec<Attribute<'s>>,
    pub children: Vec<Element<'s>>,
    /// The character data directly in it; that of its children is theirs.
    pub text: Text<'s>,
    /// Its tag could be read to the end. What a broken tag lacks needs no second telling.
    pub whole: bool,
}

#[derive(Debug)]
pub(super) struct Attribute<'s> {
    pub name: &'s str,
    pub name_span: Span,
    pub value: Value<'s>,
}

/// Characters with their place.
#[derive(Debug, Clone)]
pub(super) struct Value<'s> {
    pub text: Cow<'s, str>,
    pub span: Span,
    /// Character by character as in the file, so that a place inside it can be told.
    pub exact: bool,
}

impl Value<'_> {
    /// The place of a part of the value; of all of it where parts cannot be told apart.
    pub fn span_of(&self, part: Range<usize>) -> Span {
        if self.exact { self.span.within(part.start, part.len()) } else { self.span }
    }
}

/// The character data of an element.
#[derive(Debug, Default)]
pub(super) struct Text<'s> {
    /// All of it, white space included.
    pub all: Cow<'s, str>,
    span: Span,
    exact: bool,
    /// The first piece of it that is not white space.
    visible: Option<Span>,
    /// The part that came from references and CDATA sections: white space in it was meant.
    meant: Option<Range<usize>>,
}

impl<'s> Text<'s> {
    fn push(&mut self, piece: Cow<'s, str>, span: Span, literal: bool) {
        if piece.is_empty() && literal {
            return;
        }
        let start = self.all.len();
        if self.visible.is_none() {
            let blank = piece.len() - piece.trim_ascii_start().len();
            let shown = piece.trim_ascii().len();
            self.visible = match literal {
                true if shown > 0 => Some(span.within(blank, shown)),
                true => None,
                false => Some(span),
            };
        }
        if self.all.is_empty() && self.span == Span::default() {
            self.exact = literal && piece.len() == (span.end - span.start) as usize;
            self.span = span;
            self.all = piece;
        } else {
            self.exact = false;
            self.span.end = span.end;
            self.all.to_mut().push_str(&piece);
        }
        if !literal {
            let meant = self.meant.get_or_insert(start..start);
            meant.end = self.all.len();
        }
    }

    /// The text without the white space that surrounds it in the file. White space given by a
    /// reference or in a CDATA section stays.
    pub fn trimmed(&self) -> Value<'_> {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        let all: &str = &self.all;
        let mut start = all.len() - all.trim_start_matches(blank).len();
        let mut end = all.trim_end_matches(blank).len().max(start);
        if let Some(meant) = &self.meant {
            start = start.min(meant.start);
            end = end.max(meant.end);
        }
        let span = if self.exact { self.span.within(start, end - start) } else { self.span };
        Value { text: Cow::Borrowed(&all[start..end]), span, exact: self.exact }
    }

    /// Where the first characters are that are not white space; `None` where all is.
    pub fn visible(&self) -> Option<Span> {
        self.visible
    }
}

impl<'s> Element<'s> {
    pub fn attribute(&self, name: &str) -> Option<&Attribute<'s>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element<'s>> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element<'s>> {
        self.children.iter().filter(move |child| child.name == name)
    }
}
