//! Registers every schema of the table in our registry and in Apicurio, at every level. Where Apicurio
//! answers differently, `cases/apicurio.json` has the reason; a difference that is not listed fails,
//! and so does one that is listed and is none.

use crate::{
    cases::{Case, cases, text},
    world::world,
};
use cdc_registry::{
    Level, SchemaType,
    client::{Client, Config, Named},
};
use cdc_testkit::services::{self, Apicurio, skip};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Requests under way at once.
const AT_ONCE: usize = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
    cases: Vec<Different>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Different {
    schema_type: SchemaType,
    name: String,
    answers: BTreeMap<Level, bool>,
}

/// Answers by case and level: registered, or refused as incompatible.
type Answers = BTreeMap<(SchemaType, String, Level), bool>;

fn listed() -> Answers {
    let reasons: Vec<Reason> = serde_json::from_str(include_str!("cases/apicurio.json")).unwrap();
    let mut listed = Answers::new();
    for reason in reasons {
        assert!(!reason.reason.is_empty());
        for case in reason.cases {
            for (level, answer) in case.answers {
                let key = (case.schema_type, case.name.clone(), level);
                assert!(listed.insert(key, answer).is_none(), "{} is there twice", case.name);
            }
        }
    }
    listed
}

async fn ask(
    client: &Client,
    subject: &str,
    schema_type: SchemaType,
    case: &Case,
    level: Level,
) -> bool {
    let named = |schema| Named::new(schema_type, text(schema));
    for earlier in &case.earlier {
        let registered = client.register(subject, &named(earlier), false).await;
        registered.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        // Apicurio takes levels only for subjects that are there.
        client.set_level(Some(subject), Level::None).await.unwrap();
    }
    client.set_level(Some(subject), level).await.unwrap();
    match client.register(subject, &named(&case.new), false).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code, "CDC-6012", "{}: {level}: {error}", case.name);
            false
        }
    }
}

async fn answers(client: &Client) -> Answers {
    let mut asked = Vec::new();
    for schema_type in SchemaType::ALL {
        for (number, case) in cases(schema_type).into_iter().enumerate() {
            let case = std::sync::Arc::new(case);
            for level in Level::ALL {
                let subject = format!("{schema_type}-{number}-{level}");
                asked.push((subject, schema_type, std::sync::Arc::clone(&case), level));
            }
        }
    }
    let answers = stream::iter(asked).map(|(subject, schema_type, case, level)| async move {
        let answer = ask(client, &subject, schema_type, &case, level).await;
        ((schema_type, case.name.clone(), level), answer)
    });
    answers.buffer_unordered(AT_ONCE).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_registry_and_apicurio_register_and_refuse_the_same() {
    let missing = services::missing().into_iter();
    let missing = missing.filter(|reason| reason.contains("Apicurio") || reason.contains("Java"));
    if let Some(reason) = missing.collect::<Vec<_>>().first() {
        skip("the table of changes against Apicurio", reason).unwrap();
        return;
    }
    let started = tokio::task::spawn_blocking(Apicurio::start);
    let world = world().await;
    let ours = answers(&Client::new(&Config::at(world.url())).unwrap()).await;
    for schema_type in SchemaType::ALL {
        for case in cases(schema_type) {
            for level in Level::ALL {
                let answer = ours[&(schema_type, case.name.clone(), level)];
                assert_eq!(answer, case.accepts(level), "{}: {level}", case.name);
            }
        }
    }
    let apicurio = started.await.unwrap().unwrap();
    let theirs = answers(&Client::new(&Config::at(apicurio.url())).unwrap()).await;
    let mut different = theirs;
    different.retain(|key, answer| ours[key] != *answer);
    let listed = listed();
    let told: Vec<String> = different
        .iter()
        .filter(|(key, answer)| listed.get(*key) != Some(*answer))
        .map(|((schema_type, name, level), answer)| {
            format!("{schema_type}|{name}|{level}|{answer}")
        })
        .collect();
    assert!(told.is_empty(), "not listed:\n{}", told.join("\n"));
    let gone: Vec<_> = listed.keys().filter(|key| !different.contains_key(*key)).collect();
    assert!(gone.is_empty(), "listed, but not different: {gone:?}");
}
