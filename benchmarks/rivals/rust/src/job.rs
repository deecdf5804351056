//! What the runner says on stdin, and what it wants to hear on stdout: see job.py.

use std::time::Instant;

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub struct Server {
    pub media_endpoint_url: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    pub ca: Option<String>,
    pub stream: String,
}

#[derive(Deserialize)]
pub struct Job {
    pub server: Server,
    pub media_bytes: u64,
    pub sums: Sums,
}

#[derive(Deserialize, Serialize, Default)]
pub struct Sums {
    pub frames: u64,
    pub bytes: u64,
    pub time_ns: i64,
    pub edges: u64,
}

#[derive(Serialize)]
struct Outcome {
    cpu_s: f64,
    wall_s: f64,
    first_s: f64,
    base_bytes: u64,
    peak_bytes: u64,
    read_bytes: u64,
    sums: Option<Sums>,
}

/// Made before the request; `begin` and `end` stand around the reading.
pub struct Meter {
    asked: Instant,
    began: Instant,
    cpu_at_begin: f64,
    base: u64,
    first_s: Option<f64>,
}

impl Meter {
    pub fn new() -> Self {
        let now = Instant::now();
        Meter { asked: now, began: now, cpu_at_begin: 0.0, base: 0, first_s: None }
    }

    pub fn begin(&mut self) {
        let _ = std::fs::write("/proc/self/clear_refs", "5"); // forget the peak of before, see proc(5)
        self.base = resident("VmRSS:");
        self.began = Instant::now();
        self.cpu_at_begin = cpu_seconds();
    }

    pub fn first(&mut self) {
        let asked = self.asked;
        self.first_s.get_or_insert_with(|| asked.elapsed().as_secs_f64());
    }

    pub fn end(self, read_bytes: u64, sums: Option<Sums>) {
        let outcome = Outcome {
            cpu_s: cpu_seconds() - self.cpu_at_begin,
            wall_s: self.began.elapsed().as_secs_f64(),
            first_s: self.first_s.expect("something was read"),
            base_bytes: self.base,
            peak_bytes: resident("VmHWM:"),
            read_bytes,
            sums,
        };
        println!("{}", serde_json::to_string(&outcome).unwrap());
    }
}

/// User and system time of all threads.
pub fn cpu_seconds() -> f64 {
    let mut used = unsafe { std::mem::zeroed::<libc::rusage>() };
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut used) }, 0);
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
