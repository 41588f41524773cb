//! The tree against roxmltree, an independent reader of XML: what it refuses we refuse, and
//! where both accept, names, attributes and texts agree.
//!
//! We refuse more, and only this: document types, versions other than 1.0, encodings other than
//! UTF-8, depth beyond [`MAX_DEPTH`], more than 64 attributes, a prefix declared as nothing, and
//! names that Namespaces in XML reserves.

use proptest::prelude::*;

use super::{Element, parse};
use crate::registry::diagnostics::Problems;

/// Documents that are nearly or wholly well-formed, so that both sides of every rule are met.
fn document() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => Just("a".to_owned()),
        4 => Just("server".to_owned()),
        1 => "[a-zA-Z_:é·.0-9-]{1,4}",
        1 => Just("xmlns".to_owned()),
        1 => Just("x:y".to_owned()),
        1 => Just("xml:lang".to_owned()),
    ];
    let text = prop_oneof![
        4 => "[a-z \n]{0,6}",
        1 => "[\\PC<>&;\"']{0,6}",
        1 => Just("&amp;&lt;&#10;&#x41;&quot;".to_owned()),
        1 => Just("\r\n\r\t".to_owned()),
        1 => "&[a-z#x0-9]{0,5};?",
        1 => Just("]]>".to_owned()),
        1 => Just("<![CDATA[ <&>\r\n ]]>".to_owned()),
        1 => Just("<!-- c -->".to_owned()),
        1 => "<!--[a-]{0,4}-->",
        1 => Just("<?p q?>".to_owned()),
        1 => "<\\?[xml ]{1,4}\\?>",
        1 => any::<char>().prop_map(String::from),
    ];
    let value = prop_oneof![
        4 => "[a-z]{0,4}",
        1 => "[\\PC\t\n\r<>&;\"']{0,5}",
        1 => Just("&apos;&#9;&lt;".to_owned()),
        1 => Just("urn:x".to_owned()),
    ];
    let attribute = (
        name.clone(),
        prop_oneof![9 => Just("="), 1 => Just(" = "), 1 => Just("")],
        prop_oneof![5 => Just("\""), 1 => Just("'")],
        value,
        prop_oneof![9 => Just(" "), 1 => Just("")],
    )
        .prop_map(|(name, equals, quote, value, space)| {
            format!("{space}{name}{equals}{quote}{value}{quote}")
        });
    let declared =
        prop_oneof![6 => Just(""), 1 => Just(" xmlns:x=\"urn:x\""), 1 => Just(" xmlns=\"urn:d\"")];
    let tag = (name, declared, prop::collection::vec(attribute, 0..3));
    let leaf = text.clone();
    let content = leaf.prop_recursive(4, 24, 4, move |inner| {
        (
            tag.clone(),
            prop::collection::vec(inner, 0..4),
            prop_oneof![12 => Just(0), 1 => Just(1), 2 => Just(2)],
        )
            .prop_map(|((name, declared, attributes), content, ending)| {
                let attributes = attributes.concat();
                let content = content.concat();
                match ending {
                    0 => format!("<{name}{declared}{attributes}>{content}</{name}>"),
                    1 => format!("<{name}{declared}{attributes}>{content}"),
                    _ => format!("<{name}{declared}{attributes}/>"),
                }
            })
    });
    let prolog = prop_oneof![
        6 => Just(""), 1 => Just("\u{feff}"), 1 => Just("<?xml version=\"1.0\"?>\n"),
        1 => Just(" <?xml version=\"1.0\"?>"), 1 => Just("<?xml version='1.0' encoding='UTF-8' standalone='no' ?>"),
        1 => Just("<?xml encoding='UTF-8'?>"), 1 => Just("<!-- first -->"), 1 => Just("\u{feff}\u{feff}"),
        1 => Just("<!DOCTYPE a [<!ENTITY e 'x'>]>"), 1 => Just("x"), 1 => Just("&amp;"),
    ];
    let epilog = prop_oneof![8 => Just(""), 1 => Just("\n<!-- last -->\n"), 1 => Just("x"), 1 => Just("<b/>"), 1 => Just("<![CDATA[]]>"), 1 => Just("</a>")];
    (prolog, prop_oneof![9 => Just(true), 1 => Just(false)], content, epilog).prop_map(
        |(prolog, wrapped, content, epilog)| {
            if wrapped {
                format!("{prolog}<a>{content}</a>{epilog}")
            } else {
                format!("{prolog}{content}{epilog}")
            }
        },
    )
}

/// Name, attributes sorted by name, own text, children: what both must agree on.
#[derive(Debug, PartialEq)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Node>,
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_owned()
}

fn ours(element: &Element<'_>) -> Node {
    let mut attributes: Vec<_> = element
        .attributes
        .iter()
        .filter(|attribute| attribute.name != "xmlns" && !attribute.name.starts_with("xmlns:"))
        .map(|attribute| (local(attribute.name), attribute.value.text.to_string()))
        .collect();
    attributes.sort();
    Node {
        name: local(element.name),
        attributes,
        text: element.text.all.to_string(),
        children: element.children.iter().map(ours).collect(),
    }
}

fn theirs(node: roxmltree::Node<'_, '_>) -> Node {
    let mut attributes: Vec<_> = node
        .attributes()
        .map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()))
        .collect();
    attributes.sort();
    let texts = node.children().filter(roxmltree::Node::is_text);
    Node {
        name: node.tag_name().name().to_owned(),
        attributes,
        text: texts.filter_map(|text| text.text()).collect(),
        children: node.children().filter(roxmltree::Node::is_element).map(theirs).collect(),
    }
}

fn read(text: &str) -> Option<Node> {
    let mut problems = Problems::default();
    let root = parse(text.as_bytes(), &mut problems);
    assert!(root.is_some() || problems.has_errors(), "refused without a word: {text}");
    root.filter(|_| !problems.has_errors()).map(|root| ours(&root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_is_roxmltrees_tree_or_none(text in document()) {
        if let Some(ours) = read(&text) {
            // A parser behaves as if line ends were normalised before it reads (XML 1.0, 2.11);
            // roxmltree leaves a lone carriage return behind a reference as it is.
            let normalised = text.replace("\r\n", "\n").replace('\r', "\n");
            let document = roxmltree::Document::parse(&normalised);
            prop_assert!(document.is_ok(), "we accept, roxmltree says {:?}: {text}", document.err());
            if let Ok(document) = document {
                prop_assert_eq!(ours, theirs(document.root_element()), "{}", text);
            }
        }
    }
}

/// The other direction: strictness must not turn into refusing good files.
#[test]
fn what_is_well_formed_is_accepted() {
    for text in [
        "<a/>",
        "\u{feff}<a/>",
        "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><a/>",
        "<!-- c --><?p?><a\n b = 'x>y' c=\"'\" ></a\t><!--d-->\n",
        "<a>&lt;&#x20AC;&#8364;]] ></a>",
        "<a><![CDATA[]]]]><![CDATA[>]]></a>",
        "<é.1-·/>",
        "<x:a xmlns:x='urn:x' x:b='1' b='2' xml:lang='de'/>",
        "<a xmlns='urn:d'><b xmlns=''/></a>",
        "<a><!----><!-- - --></a>",
        "<a>\r\n\u{85}\u{2028}</a>",
    ] {
        let ours = read(text).unwrap_or_else(|| panic!("refused: {text}"));
        let document = roxmltree::Document::parse(text).expect("well-formed");
        assert_eq!(ours, theirs(document.root_element()), "{text}");
    }
}

#[test]
fn what_only_we_refuse_is_refused() {
    for text in [
        "<!DOCTYPE a><a/>",
        "<?xml version='1.1'?><a/>",
        "<?xml version='1.0' encoding='latin1'?><a/>",
        "<a xmlns:x=''/>",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(read(&nested(super::MAX_DEPTH)).is_some());
    assert!(read(&nested(super::MAX_DEPTH + 1)).is_none());
}
