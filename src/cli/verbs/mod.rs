//! One verb, one file: `perform` does what the verb says and answers.

pub mod check;
pub mod completions;
pub mod console;
pub mod demo;
pub mod dial_stdio;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod hold;
pub mod kill;
pub mod logs;
pub mod man;
pub mod reload;
pub mod reopen;
pub mod replay;
pub mod restart;
pub mod run;
pub mod start;
pub mod status;
pub mod stop;
pub mod takeover_check;
pub mod upgrade;
