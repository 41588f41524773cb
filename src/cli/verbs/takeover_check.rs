//! `takeover-check`: asked by a running Supervisor before this binary takes its place.

use clap::Args;

use crate::{
    cli::{Context, exit::Failure, loading},
    process,
    registry::{self, LoadError},
    runtime::Candidate,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The format of the journal that it would take over
    #[arg(long)]
    journal: u32,
    /// The format of what is handed over in memory
    #[arg(long)]
    handover: u32,
}

/// Answers what this version is and reads; who asks decides.
pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    if let Some(wish) = process::tests_wish("answer") {
        misbehave(&wish);
    }
    let place = &context.place;
    let mut candidate = Candidate::ours();
    let (journal, handover) = (candidate.journal, candidate.handover);
    if journal < arguments.journal || handover < arguments.handover {
        // Its own words, for one that would not compare.
        candidate.problem = Some(format!(
            "the journal is read up to format {journal}, what is handed over up to {handover}"
        ));
    } else {
        let sources = loading::sources(place);
        match registry::load(&place.registry, &place.install_folder, &sources) {
            Ok(_) => {}
            Err(LoadError::Invalid(diagnostics)) => {
                candidate.problem =
                    Some(diagnostics.summary().unwrap_or_else(|| "it is wrong".to_owned()));
                candidate.diagnostics = Some(diagnostics.render(false, 100));
            }
            Err(error) => candidate.problem = Some(error.to_string()),
        }
    }
    let text = serde_json::to_string(&candidate).map_err(|it| Failure::failed(it.to_string()))?;
    context.ui.print(&format!("{text}\n"));
    Ok(())
}

/// For tests: as a binary that cannot be trusted.
fn misbehave(wish: &str) {
    match wish {
        "never" => loop {
            std::thread::park();
        },
        "crash" => std::process::abort(),
        _ => {}
    }
}
