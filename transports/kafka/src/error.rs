//! What can go wrong, with what helps.

use crate::client::Diagnosis;
use cdc_core::{Error, Origin, Retry, TopicPartition};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use std::fmt;

/// A configured value makes no sense.
pub(crate) fn invalid_config(key: &str, why: &str) -> Error {
    Error::new("CDC-2101", Origin::Config, Retry::AfterOperator, format!("`kafka.{key}` {why}"))
        .with_remedy(format!("change `kafka.{key}` in the platform file"))
}

/// A request failed; what the client heard from the brokers tells why. `doing` completes "cannot …".
pub(crate) fn request(doing: &str, error: &KafkaError, heard: &Diagnosis) -> Error {
    let code = error.rdkafka_error_code();
    let unreachable = matches!(
        code,
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::NodeUpdate
        )
    );
    let refused = heard.last().filter(|_| unreachable);
    let (code, reason) = match refused {
        Some((code, reason)) => (Some(code), reason),
        None => (code, error.to_string()),
    };
    by_code(doing, code, unreachable, &reason)
}

/// An error that Kafka answered with.
pub(crate) fn answer(doing: &str, code: Code) -> Error {
    by_code(doing, Some(code), false, &code.to_string())
}

fn by_code(doing: &str, code: Option<Code>, unreachable: bool, reason: &str) -> Error {
    let context = format!("cannot {doing}: {reason}");
    match code {
        Some(Code::Authentication) if reason.contains(NO_TOKEN) => no_token(context),
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => Error::new(
            "CDC-2103",
            Origin::Transport,
            Retry::AfterOperator,
            context,
        )
        .with_remedy(
            "check `kafka.auth_mechanism`, `kafka.sasl_username` and `kafka.sasl_password`, and \
                 that the broker has this user for this mechanism",
        ),
        Some(Code::SSL) => Error::new("CDC-2104", Origin::Transport, Retry::AfterOperator, context)
            .with_remedy(
                "check `kafka.ssl_ca_location` against the authority that signed the brokers' \
                 certificates, the host name in `kafka.bootstrap_servers`, and the client's \
                 certificate where the brokers ask for one",
            ),
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => Error::new("CDC-2105", Origin::Transport, Retry::AfterOperator, context).with_remedy(
            "grant the user of `kafka.sasl_username` what is missing with kafka-acls.sh: Create, \
             Describe, DescribeConfigs, Read and Write on the topics, Read on the groups, and with \
             `kafka.transactional: true` Describe and Write on the transactional ids",
        ),
        _ if unreachable => Error::new("CDC-2102", Origin::Transport, Retry::Backoff, context)
            .with_remedy(
                "check that the brokers of `kafka.bootstrap_servers` run and can be reached from \
                 here under the addresses that they advertise",
            ),
        _ => Error::new("CDC-2113", Origin::Transport, Retry::Backoff, context)
            .with_remedy("look into the brokers' logs; the request is repeated by itself"),
    }
}

/// The client library refuses its settings.
pub(crate) fn client(error: &KafkaError) -> Error {
    // The value of a setting may be a password, so only the library's description is shown.
    let why = match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        other => other.to_string(),
    };
    Error::new(
        "CDC-2101",
        Origin::Config,
        Retry::AfterOperator,
        format!("no Kafka client can be made from the block `kafka`: {why}"),
    )
    .with_remedy("change the `kafka` block of the platform file; its files must be readable PEM")
}

/// A topic cannot be made as configured.
pub(crate) fn provision(topic: &str, why: impl fmt::Display, command: &str) -> Error {
    let context = format!("the topic {topic} cannot be created: {why}");
    Error::new("CDC-2106", Origin::Transport, Retry::AfterOperator, context)
        .with_remedy(format!("create it with the rights of an administrator: {command}"))
}

/// A record was not acknowledged; the partition takes nothing more until the transport is opened anew.
pub(crate) fn append_failed(to: &TopicPartition, why: &str) -> Error {
    let context = format!("the partition {to} stopped taking records: {why}");
    Error::new("CDC-2107", Origin::Transport, Retry::Backoff, context).with_remedy(
        "look into the brokers' logs; the producer is opened anew by itself and sends again what was \
         not acknowledged",
    )
}

/// One record exceeds the limit.
pub(crate) fn record_too_large(to: &TopicPartition, bytes: usize, bytes_max: u32) -> Error {
    let context = format!("a record of {bytes} bytes for {to} is larger than {bytes_max} bytes");
    Error::new("CDC-2108", Origin::Transport, Retry::Never, context).with_remedy(
        "raise `kafka.max_record_bytes` and the topic's `max.message.bytes`, or leave the table with \
         such rows out of `source.tables`",
    )
}

/// Retention has passed the offset.
pub(crate) fn below_start(of: &TopicPartition, offset: u64, start: u64) -> Error {
    let context = format!(
        "offset {offset} of {of} is gone: the topic's retention has removed everything below offset \
         {start}"
    );
    Error::new("CDC-2109", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "take a new snapshot for this sink, and raise the topic's `retention.ms` or \
         `retention.bytes` with kafka-configs.sh if that happens again",
    )
}

/// The offset is not in this topic yet, so it came from another one.
pub(crate) fn beyond_end(of: &TopicPartition, offset: u64, end: u64) -> Error {
    let context = format!(
        "offset {offset} of {of} does not exist: the partition ends at offset {end}, so the topic was \
         made anew or the brokers have lost records"
    );
    Error::new("CDC-2110", Origin::Transport, Retry::AfterOperator, context)
        .with_remedy("take a new snapshot for this sink")
}

/// There is no such topic or partition.
pub(crate) fn unknown_partition(of: &TopicPartition) -> Error {
    let context = format!("the cluster has no partition {of}");
    Error::new("CDC-2111", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "run `cdc deploy` with the pipeline file, which creates the topics, or create the topic again",
    )
}

/// A record was written by another program.
pub(crate) fn foreign_record(of: &TopicPartition, offset: u64) -> Error {
    let context = format!(
        "the record at offset {offset} of {of} has no header {}: another program wrote it",
        crate::record::POSITION_HEADER
    );
    Error::new("CDC-2112", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "keep other producers away from the pipeline's topics: give the pipeline a `topic_prefix` of \
         its own and run it again",
    )
}

/// A record of ours in a topic that Debezium is to write.
pub(crate) fn own_record(of: &TopicPartition, offset: u64) -> Error {
    let context = format!("cdc itself wrote the record at offset {offset} of {of}, not Debezium");
    Error::new("CDC-2125", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "give the pipeline a `topic_prefix` of its own for capture by Debezium, or remove the block \
         `connector` of the platform file",
    )
}

/// A topic has another number of partitions than keys were spread over.
pub(crate) fn other_partitions(topic: &str, assumed: u32, found: u32) -> Error {
    let context = format!("the topic {topic} has {found} partitions, not {assumed}");
    Error::new("CDC-2114", Origin::Transport, Retry::Backoff, context).with_remedy(
        "set `kafka.topic_num_partitions` to what the topics have; the pipeline goes on by itself",
    )
}

/// The group does not take the offsets, because the partitions are another member's by now.
pub(crate) fn not_a_member(group: &str, reason: &str) -> Error {
    let context = format!("the consumer group {group} refused a commit of offsets: {reason}");
    Error::new("CDC-2115", Origin::Transport, Retry::Backoff, context).with_remedy(
        "nothing if this is rare; otherwise raise `kafka.session_timeout_ms` and \
         `kafka.max_poll_interval_ms`, because this process was given up as too slow",
    )
}

/// Offsets of a group are to be set by hand while somebody reads by them.
pub(crate) fn group_in_use(group: &str, members: usize) -> Error {
    let context = format!(
        "the offsets of the consumer group {group} cannot be set: it has {members} members"
    );
    Error::new("CDC-2124", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "stop every process of the pipeline, here and on other machines; one that was killed counts as \
         a member for `kafka.session_timeout_ms`",
    )
}

/// Another producer with the same transactional id has begun.
pub(crate) fn fenced(transactional_id: &str, reason: &str) -> Error {
    let context =
        format!("another process has taken over the transactional id {transactional_id}: {reason}");
    // The process that holds the lease goes on.
    Error::new("CDC-2116", Origin::Transport, Retry::Backoff, context).with_remedy(
        "nothing if it is rare; otherwise see that no other program uses this transactional id",
    )
}

/// The brokers do not let transactions stay open for so long.
pub(crate) fn open_for_too_long(open_max: std::time::Duration) -> Error {
    let milliseconds = open_max.as_millis();
    let why = format!("needs transactions that may be open for {milliseconds} ms");
    invalid_config("transactional", &why).with_remedy(format!(
        "set `transaction.max.timeout.ms` of the brokers to {milliseconds} or more, or leave \
         `kafka.transactional` out"
    ))
}

/// Nobody has begun to append.
pub(crate) fn not_begun(to: &TopicPartition) -> Error {
    append_failed(to, "records go in transactions, and no writer has begun")
}

/// A transaction was rolled back.
pub(crate) fn aborted(transactional_id: &str, reason: &str) -> Error {
    let context = format!("a transaction of {transactional_id} was rolled back: {reason}");
    Error::new("CDC-2117", Origin::Transport, Retry::Backoff, context)
        .with_remedy("look into the brokers' logs; the same records are sent again by themselves")
}

/// A newer epoch of the pipeline has begun.
pub(crate) fn fenced_epoch(given: u64, newest: u64) -> Error {
    let context = format!("epoch {given} may not save any more: epoch {newest} has begun");
    // Not the log's fault: the process goes on and stands by until it may capture again.
    Error::new("CDC-2119", Origin::Internal, Retry::Never, context).with_remedy(
        "nothing: another process of this pipeline has taken over and goes on from what was saved",
    )
}

/// The topic of the pipeline's state cannot be what it must be.
pub(crate) fn state_topic(topic: &str, why: &str, remedy: &str) -> Error {
    let context = format!("the topic {topic} cannot hold the pipeline's state: {why}");
    Error::new("CDC-2120", Origin::Transport, Retry::AfterOperator, context).with_remedy(remedy)
}

/// A record of the state is none of ours, or of a newer version.
pub(crate) fn state_record(topic: &str, offset: u64) -> Error {
    let context =
        format!("the record at offset {offset} of the state topic {topic} cannot be read");
    Error::new("CDC-2121", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "run the newest version of `cdc` that has run this pipeline; if another program wrote the \
         record, send one with the same key and no value",
    )
}

/// More changes are parked than may be.
pub(crate) fn too_many_letters(sink: &str, held: usize, letters_max: usize) -> Error {
    let context = format!(
        "{held} dead letters wait of at most {letters_max}: no room for the refused changes of sink \
         {sink}"
    );
    Error::new("CDC-2122", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "deliver or give up what is parked: `cdc dead-letters list`, then `retry` or `discard`",
    )
}

/// A counter has no next number.
pub(crate) fn used_up(counter: &str) -> Error {
    let context = format!("the counter of {counter} has reached its end");
    Error::new("CDC-2123", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "run the pipeline under another `pipeline_id`, which begins with a new snapshot",
    )
}

/// Others were always faster.
pub(crate) fn contended(topic: &str) -> Error {
    answer(&format!("write to the state topic {topic} before other processes do"), Code::Fail)
}

/// Something of ours has no form in JSON.
pub(crate) fn unwritable(source: serde_json::Error) -> Error {
    answer("encode a record of the pipeline's state", Code::Fail).with_source(source)
}

/// Does the producer take nothing more after this?
pub(crate) fn stops_appends(error: &Error) -> bool {
    error.code == "CDC-2107"
}

/// How the library's own report of a missing token is told from a refused one.
const NO_TOKEN: &str = "no token for the login to Kafka";

/// No token for a login can be made.
pub(crate) fn token(why: impl fmt::Display) -> Error {
    no_token(format!("{NO_TOKEN}: {why}"))
}

fn no_token(context: String) -> Error {
    Error::new("CDC-2118", Origin::Transport, Retry::Backoff, context).with_remedy(
        "for sasl_iam set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or give the machine a role; for \
         sasl_oauthbearer check `kafka.oauth_token_file`, or the machine's service account on Google \
         Cloud",
    )
}
