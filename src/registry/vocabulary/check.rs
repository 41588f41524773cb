//! Compares a tree with the table.

use crate::registry::{
    diagnostics::{Place, Problem, Problems, Text as Of, nearest},
    source::Span,
    tree::{Attribute, Element},
};

use super::{SUPERVISOR, Shape};

/// Where the schema instance attributes may stand.
const SCHEMA: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Tells what does not belong: unknown elements and attributes, what stands twice, what is
/// missing. Whether the root is the right one.
pub(in crate::registry) fn check(root: &Element<'_>, problems: &mut Problems) -> bool {
    if root.name != SUPERVISOR.name {
        problems.push(
            Problem::error(format!("the root element is <{}>, not <supervisor>", root.name))
                .at(place(root.name_span), "expected supervisor"),
        );
        return false;
    }
    element(root, &SUPERVISOR, true, problems);
    true
}

fn place(span: Span) -> Place {
    Place { text: Of::Registry, span }
}

fn element(element: &Element<'_>, shape: &Shape, is_root: bool, problems: &mut Problems) {
    attributes(element, shape, is_root, problems);
    if !shape.text
        && let Some(text) = element.text.visible()
    {
        problems.push(Problem::warning(format!("the text in <{}> is ignored", shape.name)).at(
            place(text),
            if shape.children.is_empty() {
                "expected nothing here"
            } else {
                "expected elements only"
            },
        ));
    }
    for (index, child) in element.children.iter().enumerate() {
        match shape.children.iter().find(|known| known.name == child.name) {
            None => unknown_element(child, shape, problems),
            Some(known) => {
                let first =
                    element.children[..index].iter().find(|earlier| earlier.name == child.name);
                if let (Some(first), false) = (first, known.many) {
                    problems.push(
                        Problem::error(format!(
                            "<{}> stands twice in <{}>",
                            child.name, shape.name
                        ))
                        .at(place(child.name_span), "the second one")
                        .and(place(first.name_span), "the first one"),
                    );
                }
                self::element(child, known, false, problems);
            }
        }
    }
}

fn unknown_element(child: &Element<'_>, parent: &Shape, problems: &mut Problems) {
    let known = parent.children.iter().map(|shape| shape.name);
    let problem =
        Problem::warning(format!("<{}> is unknown in <{}> and ignored", child.name, parent.name))
            .at(place(child.name_span), "ignored, with all that it holds");
    if parent.attributes.contains(&child.name) {
        let (name, parent) = (child.name, parent.name);
        problems.push(problem.help(format!("it is an attribute: <{parent} {name}=\"…\">")));
        return;
    }
    let expected = match parent.children {
        [] if parent.text => format!("<{}> holds text, no elements", parent.name),
        [] => format!("<{}> holds no elements", parent.name),
        _ => format!("<{}> can hold {}", parent.name, listed(known.clone())),
    };
    problems.push(problem.meant(nearest(child.name, known), expected));
}

fn attributes(element: &Element<'_>, shape: &Shape, is_root: bool, problems: &mut Problems) {
    for attribute in &element.attributes {
        if shape.attributes.contains(&attribute.name)
            || is_root && about_schema(element, attribute.name)
        {
            continue;
        }
        problems.push(unknown_attribute(attribute, shape));
    }
    for required in shape.required {
        if element.whole && element.attribute(required).is_none() {
            problems.push(
                Problem::error(format!("<{}> has no attribute {required}", shape.name))
                    .at(place(element.name_span), format!("expected {required}=\"…\"")),
            );
        }
    }
}

fn unknown_attribute(attribute: &Attribute<'_>, shape: &Shape) -> Problem {
    let name = attribute.name;
    let children = || shape.children.iter().map(|child| child.name);
    let problem = Problem::warning(format!(
        "the attribute {name} is unknown in <{}> and ignored",
        shape.name
    ))
    .at(place(attribute.name_span), "ignored");
    if let Some(near) = nearest(name, shape.attributes.iter().copied()) {
        return problem.meant(Some(near), "");
    }
    let same = children().find(|child| *child == name);
    if let Some(child) = same.or_else(|| nearest(name, children())) {
        return problem.help(format!("did you mean the element <{child}>…</{child}>?"));
    }
    problem.help(match shape.attributes {
        [] => format!("<{}> has no attributes", shape.name),
        known => format!("<{}> can have {}", shape.name, listed(known.iter().copied())),
    })
}

/// The root may name its schema, for editors: `xsi:noNamespaceSchemaLocation` and the
/// declaration of its prefix.
fn about_schema(element: &Element<'_>, attribute: &str) -> bool {
    let declared = |prefix: &str| {
        let name = format!("xmlns:{prefix}");
        element.attribute(&name).is_some_and(|declaration| declaration.value.text == SCHEMA)
    };
    match attribute.split_once(':') {
        Some(("xmlns", prefix) | (prefix, "noNamespaceSchemaLocation" | "schemaLocation")) => {
            declared(prefix)
        }
        _ => false,
    }
}

/// "a, b and c".
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
