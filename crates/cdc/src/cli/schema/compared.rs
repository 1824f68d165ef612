//! Two schemas side by side.

use super::operand::{Loaded, Source};
use crate::{
    cli::Manner,
    failure::{Failure, Outcome},
    output::{say, say_json},
};
use cdc_registry::{
    Breach, Direction, Level, Schema, check as check_schemas,
    plan::{Order, Plan, plan as plan_schemas},
};
use serde_json::{Value, json};

/// Two schemas.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The earlier one: a subject, SUBJECT@VERSION, or a file
    old: String,
    /// The later one
    new: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    schemas: Args,
    /// What must hold, instead of the subject's own level: NONE, BACKWARD, FORWARD, FULL, or one of
    /// these with _TRANSITIVE
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
}

impl Args {
    async fn load(&self) -> Outcome<(Loaded, Loaded)> {
        Ok((self.source.load(&self.old).await?, self.source.load(&self.new).await?))
    }
}

pub(in crate::cli) async fn diff(args: &Args, manner: &Manner) -> Outcome {
    let (old, new) = args.load().await?;
    let plan = plan_schemas(&old.schema, &new.schema);
    if manner.json {
        let changes = plan
            .steps
            .iter()
            .map(|step| json!({ "place": step.place, "was": step.was, "is": step.is }));
        return say_json(&json!({ "changes": changes.collect::<Vec<_>>() }));
    }
    if plan.steps.is_empty() {
        return say("no difference");
    }
    plan.steps.iter().try_for_each(|step| say(step.to_string()))
}

pub(in crate::cli) async fn check(args: &CheckArgs, manner: &Manner) -> Outcome {
    let source = &args.schemas.source;
    let old = source.history(&args.schemas.old).await?;
    let new = source.load(&args.schemas.new).await?;
    let level = args.level.or(old.level).unwrap_or_default();
    let earlier: Vec<&Schema> = old.versions.iter().map(|version| &version.schema).collect();
    let breaches = check_schemas(level, &new.schema, &earlier);
    let compatible = breaches.is_empty();
    let name = |breach: &Breach| old.versions.get(breach.earlier).map(|version| &version.name);
    if manner.json {
        let breaches: Vec<Value> = breaches
            .iter()
            .map(|breach| {
                let mut out = json!(breach);
                if let Value::Object(out) = &mut out {
                    out.insert("earlier".to_owned(), json!(name(breach)));
                }
                out
            })
            .collect();
        say_json(&json!({ "compatible": compatible, "level": level, "breaches": breaches }))?;
    } else if compatible {
        say(format!("compatible by {level}"))?;
    } else {
        say(format!("not compatible by {level}"))?;
        for breach in &breaches {
            let (finding, earlier) = (&breach.finding, name(breach).cloned().unwrap_or_default());
            let who = match breach.direction {
                Direction::Backward => format!("{} cannot read data of {earlier}", new.name),
                Direction::Forward => format!("{earlier} cannot read data of {}", new.name),
            };
            say(format!("  {} at {}: {}; {who}", finding.kind, finding.path, finding.message))?;
        }
    }
    if compatible { Ok(()) } else { Err(Failure::Told) }
}

pub(in crate::cli) async fn plan(args: &Args, manner: &Manner) -> Outcome {
    let (old, new) = args.load().await?;
    let plan = plan_schemas(&old.schema, &new.schema);
    if manner.json {
        return say_json(&plan);
    }
    say(text(&plan))
}

fn text(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return "nothing changes".to_owned();
    }
    let mut lines = Vec::new();
    for step in &plan.steps {
        let word = match step.order {
            Order::Any => "safe",
            Order::ConsumersFirst => "safe, consumers first",
            Order::ProducersFirst => "safe, producers first",
            Order::Breaking => "breaking",
        };
        lines.push(format!("{step}  [{word}]"));
        lines.extend(step.reasons.iter().map(|reason| format!("    {reason}")));
        lines.extend(step.advice.iter().map(|advice| format!("    help: {advice}")));
    }
    lines.push(String::new());
    if plan.moves.len() > 1 {
        lines.push("register a version for each of these, one after the other:".to_owned());
    }
    for (index, step) in plan.moves.iter().enumerate() {
        let places = step.places.join(", ");
        lines.push(format!("{}. {}: {places}", index + 1, step.order.instruction()));
    }
    let levels: Vec<&str> = plan.levels.iter().map(|level| level.name()).collect();
    lines.push(format!("in one step it passes at: {}", levels.join(", ")));
    lines.join("\n")
}
