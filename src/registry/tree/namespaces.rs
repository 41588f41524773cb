//! Which prefixes are declared where. The registry uses none, but a file may carry some, for
//! example `xsi:noNamespaceSchemaLocation`, and then they have to be right.

use crate::registry::diagnostics::{Problem, Problems};

use super::{Attribute, builder::in_registry};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The declarations in force, innermost last.
#[derive(Debug, Default)]
pub(super) struct Scope<'s> {
    declared: Vec<Declaration<'s>>,
}

#[derive(Debug)]
struct Declaration<'s> {
    prefix: &'s str,
    uri: String,
    depth: usize,
}

/// Prefix (empty where there is none) and local name.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

impl<'s> Scope<'s> {
    /// Takes in the declarations of an element at `depth`, and checks its names against those
    /// in force.
    pub fn enter(
        &mut self,
        depth: usize,
        element: (&'s str, crate::registry::source::Span),
        attributes: &[Attribute<'s>],
        problems: &mut Problems,
    ) {
        for attribute in attributes {
            match split(attribute.name) {
                ("xmlns", prefix) => self.declare(prefix, attribute, depth, problems),
                ("", "xmlns") => self.declare("", attribute, depth, problems),
                (_, "xmlns") => problems.push(reserved(attribute)),
                _ => {}
            }
        }
        let (name, span) = element;
        self.check(split(name).0, span, problems);
        if matches!(split(name).0, "xml" | "xmlns") {
            let problem = Problem::error("an element cannot have the prefix xml or xmlns")
                .at(in_registry(span), "reserved by XML");
            problems.push(problem);
        }
        for attribute in attributes {
            self.check(split(attribute.name).0, attribute.name_span, problems);
        }
        self.check_doubled(attributes, problems);
    }

    /// Forgets what the element at `depth` declared.
    pub fn leave(&mut self, depth: usize) {
        while self.declared.pop_if(|declaration| declaration.depth == depth).is_some() {}
    }

    fn declare(
        &mut self,
        prefix: &'s str,
        attribute: &Attribute<'s>,
        depth: usize,
        problems: &mut Problems,
    ) {
        let uri: &str = &attribute.value.text;
        let wrong = (prefix == "xml") != (uri == XML) || uri == XMLNS || prefix == "xmlns";
        let undeclares = uri.is_empty() && !prefix.is_empty();
        if wrong {
            problems.push(reserved(attribute));
        } else if undeclares {
            let problem = Problem::error(format!("the prefix {prefix} is declared as nothing"))
                .at(in_registry(attribute.value.span), "expected the address of a namespace");
            problems.push(problem);
        }
        // Declared all the same, so that its uses are not reported too.
        self.declared.push(Declaration { prefix, uri: uri.to_owned(), depth });
    }

    fn uri(&self, prefix: &str) -> Option<&str> {
        match prefix {
            "xml" => Some(XML),
            "xmlns" => Some(XMLNS),
            _ => {
                let innermost = self.declared.iter().rev().find(|known| known.prefix == prefix);
                innermost.map(|declaration| declaration.uri.as_str())
            }
        }
    }

    fn check(&self, prefix: &str, span: crate::registry::source::Span, problems: &mut Problems) {
        if !prefix.is_empty() && self.uri(prefix).is_none() {
            let problem = Problem::error(format!("the prefix {prefix} is not declared"))
                .at(in_registry(span), format!("no xmlns:{prefix}=\"…\" here or above"))
                .help("the elements of a registry have no prefix");
            problems.push(problem);
        }
    }

    /// Two prefixes may mean the same namespace, and then the same name is given twice.
    fn check_doubled(&self, attributes: &[Attribute<'s>], problems: &mut Problems) {
        for (index, attribute) in attributes.iter().enumerate() {
            let (prefix, local) = split(attribute.name);
            if prefix.is_empty() {
                continue;
            }
            let doubled = attributes[..index].iter().any(|earlier| {
                let (other, name) = split(earlier.name);
                name == local
                    && !other.is_empty()
                    && other != prefix
                    && self.uri(other) == self.uri(prefix)
            });
            if doubled {
                let problem = Problem::error(format!("the attribute {local} stands twice"))
                    .at(in_registry(attribute.name_span), "the same name by another prefix");
                problems.push(problem);
            }
        }
    }
}

fn reserved(attribute: &Attribute<'_>) -> Problem {
    Problem::error(format!("{} cannot be declared so", attribute.name))
        .at(in_registry(attribute.name_span), "the prefixes xml and xmlns are reserved by XML")
}
