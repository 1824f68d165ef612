//! `cdc health`: is the running pipeline ready?

use super::Manner;
use crate::{
    failure::{Failure, Outcome},
    output::{say, say_json},
    remote::Remote,
    settings::PlatformArgs,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

pub(super) async fn run(args: &PlatformArgs, manner: &Manner) -> Outcome {
    let rest = args.load()?.file.rest;
    if !rest.health_enabled {
        let remedy =
            "set rest.health_enabled: true in the platform file and start the pipeline again";
        return Err(Failure::new("CDC-0122", "the platform file turns health off", remedy));
    }
    if rest.health_port == 0 {
        let remedy = "ask for one pipeline: cdc status PIPELINE";
        let context = "rest.health_port is 0, so that the port is not known beforehand";
        return Err(Failure::new("CDC-0122", context, remedy));
    }
    let remote = Remote::at(rest.health_address, rest.health_port)?;
    let (status, answer) = remote.answer(Method::GET, "/readyz", None).await?;
    if answer.get("ready").is_none() {
        let context = format!("what answers on port {} is no pipeline of cdc", rest.health_port);
        let remedy =
            "give the platform file that the pipeline was started with: --platform-config FILE";
        return Err(Failure::new("CDC-0125", context, remedy));
    }
    if manner.json {
        say_json(&remote.get("/healthz").await?)?;
    } else {
        let reasons = answer.get("reasons").and_then(Value::as_array);
        let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
        if status == StatusCode::OK {
            say("ready")?;
        } else {
            say("not ready")?;
        }
        for reason in reasons {
            say(format!("  {reason}"))?;
        }
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Failure::Told) }
}
