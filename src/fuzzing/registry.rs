//! A registry of any bytes.

use std::path::Path;

use crate::{
    plan,
    registry::{self, Sources},
};

/// More than the longest list of problems that is written out.
const LONGEST: usize = 4 << 20;

/// Two readings are equal; what is accepted can be planned; what is refused is told within bounds,
/// and drives no terminal.
pub(super) fn parse(bytes: &[u8]) {
    let read = || {
        let file = Path::new("conf/SupervisorRegistry.xml");
        registry::parse(bytes, file, Path::new("/opt/is"), &Sources::default())
    };
    match (read(), read()) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.registry, other.registry);
            let stages = plan::start_stages(&one.registry.components);
            let mut planned: Vec<_> = stages.into_iter().flatten().collect();
            let mut known: Vec<_> = one.registry.components.iter().map(|one| &one.id).collect();
            planned.sort();
            known.sort();
            assert!(planned.iter().eq(known), "each component starts once");
            harmless(&one.warnings.render(false, 100));
        }
        (Err(one), Err(other)) => {
            assert!(!one.is_empty(), "refused for no reason");
            let text = one.render(false, 100);
            assert_eq!(text, other.render(false, 100));
            harmless(&text);
        }
        (one, other) => panic!("two readings differ: {one:?}, {other:?}"),
    }
}

fn harmless(text: &str) {
    assert!(text.len() < LONGEST, "{} bytes of diagnostics", text.len());
    let control = text.chars().find(|character| character.is_control() && *character != '\n');
    assert_eq!(control, None, "{text}");
}
