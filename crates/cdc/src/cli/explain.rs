//! `cdc explain`: the page of an error code.

use super::Manner;
use crate::{
    failure::{Failure, Outcome},
    output::{say, say_json},
    pages,
};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The code, like CDC-0103
    code: String,
}

pub(super) fn run(args: &Args, manner: &Manner) -> Outcome {
    let code = args.code.trim().to_ascii_uppercase();
    let code = if code.starts_with("CDC-") { code } else { format!("CDC-{code}") };
    let Some((_, page)) = pages::of(&code) else {
        let remedy = "codes look like CDC-0103; each error message ends with its own";
        return Err(Failure::usage("CDC-0112", format!("there is no error code {code}"), remedy));
    };
    if manner.json {
        return say_json(&json!({ "code": code, "page": page }));
    }
    say(page.trim_end())
}
