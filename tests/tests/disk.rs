use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use cdc_testkit::services::{Port, Receiver, skip};
use serde_json::json;

use crate::compare;
use crate::process::eventually;
use crate::scene::{Scene, any_server};

/// A disk of few bytes, unmounted when dropped.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self { directory };
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).then_some(disk)
    }

    fn grow(&self, size: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,size={size}")]));
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        let output = command.args(arguments).arg(self.path()).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

#[tokio::test]
async fn a_full_disk_is_a_pause_without_loss() {
    let Some(server) = any_server() else { return };
    let Some(disk) = SmallDisk::mount("6m") else {
        skip("e2e-full-disk", "only root may mount a small disk").unwrap();
        return;
    };
    let mut scene = Scene::on(server).await.with_replica(server);
    scene.platform["embedded"] = json!({
        "data_dir": disk.path(), "segment_bytes": "1MiB", "retention_bytes": "1GiB",
        "retention_hours": 1,
    });
    scene.source.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    let mut running = scene.start();
    running.ready().await;
    let sql =
        "INSERT INTO t SELECT n, repeat(md5(n::text), 32) FROM generate_series(1, 20000) AS n";
    scene.source.batch_execute(sql).await.unwrap();
    eventually("the full disk is told", async || {
        running.get("/readyz").is_some_and(|(status, body)| {
            status == 503 && (body.contains("disk") || body.contains("space"))
        })
    })
    .await;
    running.answers("/healthz", 200).await;
    disk.grow("200m");
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    running.ready().await;
    running.stop().await.exits_with(0);
}

fn segments(log: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.metadata().is_ok_and(|data| data.is_file() && data.len() > 100_000))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_corrupt_segment_is_refused_by_its_name() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await;
    scene.platform["embedded"]["segment_bytes"] = json!("256KiB");
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text);
               INSERT INTO t SELECT n, repeat(md5(n::text), 10) FROM generate_series(1, 5000) AS n";
    scene.source.batch_execute(sql).await.unwrap();
    let port = Port::reserve().unwrap();
    let block = json!({ "url": format!("http://127.0.0.1:{}/", port.number()) });
    let scene = scene.with_sink("webhook", "webhook", block);
    // The sink that is down needs every record, so that the damaged one will be read.
    let mut running = scene.start();
    let log = scene.directory().join("data/shop/log");
    eventually("the log has several segments", async || {
        assert!(running.is_running(), "{}", running.log());
        log.exists() && segments(&log).len() > 3
    })
    .await;
    running.kill9();
    let damaged = segments(&log)[1].clone();
    let mut file = OpenOptions::new().write(true).open(&damaged).unwrap();
    file.seek(SeekFrom::Start(100_000)).unwrap();
    file.write_all(b"these bytes are not what was written").unwrap();
    drop(file);
    let receiver = Receiver::start_on(port).await.unwrap();
    let name = damaged.file_name().unwrap().to_str().unwrap();
    scene.cdc(&["run", "--until-current"]).await.exits_with(1).mentions(&["CDC-20", name]);
    assert!(receiver.accepted_count() < 5000, "nothing behind the damage was delivered");
}
