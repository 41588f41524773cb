//! Logs where no Supervisor runs: the files themselves, found by the registry.

use super::{
    Context,
    exit::{Exit, Failure},
    loading,
    log_text::Writer,
    verbs::logs::Arguments,
};
use crate::{
    logs::{
        Stream,
        read::{Merged, Progress, Query, Reader},
    },
    model::ComponentId,
    registry::Registry,
    wire::LogStream,
};

/// Bytes of records between two looks whether somebody still reads them.
const PIECE: usize = 256 << 10;

/// Shows what the files hold; says that this is all.
pub fn show(
    context: &Context,
    arguments: &Arguments,
    writer: &mut Writer<'_>,
) -> Result<(), Failure> {
    let loaded = loading::load(&context.place)?;
    let ids = chosen(&loaded.registry, &arguments.ids)?;
    context.ui.note("the Supervisor is not running; this is what its log files hold");
    let query = Query {
        since: arguments.since,
        until: arguments.until,
        grep: arguments.grep.clone(),
        stream: arguments.stream().map(|stream| match stream {
            LogStream::Out => Stream::Out,
            LogStream::Err => Stream::Err,
        }),
        after: None,
        tail: arguments.tail().map(u64::from),
    };
    let outputs = loaded.registry.components.iter().filter(|one| ids.contains(&one.id));
    let readers = outputs
        .map(|one| Reader::of_files(one.id.clone(), &one.output.log, query.clone()))
        .collect::<Vec<_>>();
    let mut merged = Merged::new(readers);
    let mut progress = Progress::More;
    while progress == Progress::More && !context.ui.reader_gone() {
        progress = merged.read(PIECE, |id, record| writer.add(id.as_str(), record));
        writer.flush();
    }
    if arguments.follow {
        return Err(Failure::new(
            Exit::Unavailable,
            "nothing more comes: the Supervisor is not running",
        ));
    }
    Ok(())
}

fn chosen(registry: &Registry, wanted: &[String]) -> Result<Vec<ComponentId>, Failure> {
    let known = || registry.components.iter().map(|component| &component.id);
    if wanted.is_empty() {
        return Ok(known().cloned().collect());
    }
    let find = |id: &String| {
        known().find(|known| known.as_str() == id).cloned().ok_or_else(|| {
            let distance = |known: &&ComponentId| strsim::damerau_levenshtein(id, known.as_str());
            let nearest = known().min_by_key(distance);
            let nearest = nearest.filter(|known| distance(known) <= 2.max(id.len() / 3));
            let hint = nearest.map_or_else(String::new, |id| format!("; did you mean {id}?"));
            Failure::new(Exit::Usage, format!("there is no component \"{id}\"{hint}"))
        })
    };
    wanted.iter().map(find).collect()
}
