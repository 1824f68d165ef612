//! A small shop, replicated to three places while `cdc` gets killed.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod pipeline;
mod proof;
mod screen;
mod shop;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{Options, Postgres, Receiver};
use tokio::time::{Instant, sleep};

use self::pipeline::Pipeline;
use self::screen::Screen;
use crate::paths;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of live load before and after the kill.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// How many purchases, cancellations and price changes a second.
    #[arg(long, default_value_t = 150)]
    rate: u32,
}

const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(60);
const SCREEN_INTERVAL: Duration = Duration::from_millis(250);

/// Runs the demo to its end, or until Ctrl-C; leaves nothing behind either way.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("building cdc");
    let binary = paths::build_cdc("release")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            ended = tokio::signal::ctrl_c() => ended.map(|()| false).context("wait for Ctrl-C"),
            ended = play(&binary, arguments) => ended.map(|()| true),
        }
    });
    // The load's connections end here, before the process does.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !ended? {
        println!("\nstopped; nothing is left behind");
    }
    Ok(())
}

async fn play(binary: &std::path::Path, arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let major = Postgres::available().first().copied();
    let major = major.context("no PostgreSQL here: run cargo xtask services")?;
    println!("starting a throwaway PostgreSQL {major} and filling the shop");
    let server = Arc::new(Postgres::start(Options { major, ..Options::default() })?);
    let source = server.create_database("shop").await?;
    let copy = server.create_database("copy").await?;
    shop::fill(&server.connect(&source).await?).await?;
    let receiver = Receiver::counting().await?;
    let mut pipeline = Pipeline::new(binary, &server, &source, &copy, &receiver)?;
    println!("\n{}\n", pipeline.summary());

    let mut screen = Screen::new();
    pipeline.start()?;
    screen.say("cdc runs: first the rows that are there, then every change");
    let load = shop::Load::start(&server, &source, arguments.rate);
    let watch = Duration::from_secs(arguments.seconds);
    follow(&mut screen, &mut pipeline, &load, &receiver, watch).await?;
    pipeline.kill9()?;
    screen.say("cdc was killed with -9; the shop goes on");
    follow(&mut screen, &mut pipeline, &load, &receiver, Duration::from_secs(3)).await?;
    pipeline.start()?;
    screen.say("cdc runs again and goes on where it was");
    follow(&mut screen, &mut pipeline, &load, &receiver, watch).await?;
    let purchases = load.stop().await?;
    screen.say("the shop is closed; the last changes arrive");
    catch_up(&mut screen, &mut pipeline, purchases, &receiver).await?;
    pipeline.stop().await?;
    let proved = proof::print(&server, &source, &copy, &pipeline, &receiver).await?;
    println!("\n{:.0} seconds; nothing is left behind", began.elapsed().as_secs_f64());
    ensure!(proved, "source and replica differ");
    Ok(())
}

async fn follow(
    screen: &mut Screen,
    pipeline: &mut Pipeline,
    load: &shop::Load,
    receiver: &Receiver,
    time: Duration,
) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let status = pipeline.status().await;
        screen.show(status.as_ref(), load.transactions(), receiver.accepted_count());
        pipeline.check()?;
        load.check()?;
        sleep(SCREEN_INTERVAL).await;
    }
    Ok(())
}

/// Waits until every sink has committed everything that is in the log, and the log has everything.
async fn catch_up(
    screen: &mut Screen,
    pipeline: &mut Pipeline,
    transactions: u64,
    receiver: &Receiver,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + CATCH_UP_WAIT_MAX;
    let mut quiet = 0;
    while quiet < 4 {
        ensure!(Instant::now() < deadline, "the sinks did not catch up:\n{}", pipeline.log_tail());
        let status = pipeline.status().await;
        screen.show(status.as_ref(), transactions, receiver.accepted_count());
        pipeline.check()?;
        quiet = if status.is_some_and(|status| status.is_caught_up()) { quiet + 1 } else { 0 };
        sleep(SCREEN_INTERVAL).await;
    }
    screen.end();
    Ok(())
}
