//! `reopen`: the log files are opened anew, for rotators from outside.

use crate::cli::{Context, exit::Failure};

/// Returns when nothing is written to the old files any more: they may be moved and compressed.
pub async fn perform(context: &Context) -> Result<(), Failure> {
    context.place.client()?.reopen().await?;
    context.ui.note("the log files are opened anew");
    Ok(())
}
