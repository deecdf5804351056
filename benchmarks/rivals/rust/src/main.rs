//! Rivals in Rust.
//!
//!     rust-rivals sdk|webm-iterable < JOB           read the stream as the job says
//!     rust-rivals memory webm-iterable FILE ROUNDS  parse a file that is in memory

mod job;

use std::io::Read;

use aws_sdk_kinesisvideomedia::Client;
use aws_sdk_kinesisvideomedia::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kinesisvideomedia::primitives::ByteStream;
use aws_sdk_kinesisvideomedia::types::{StartSelector, StartSelectorType};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use bytes::{Buf, Bytes};
use tokio::runtime::Runtime;
use webm_iterable::WebmIterator;
use webm_iterable::matroska_spec::{MatroskaSpec, SimpleBlock};

use job::{Job, Meter, Server, Sums, cpu_seconds};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() == 5 && arguments[1] == "memory" {
        return memory(&arguments[3], arguments[4].parse().unwrap());
    }
    let job: Job = serde_json::from_reader(std::io::stdin()).unwrap();
    let mut meter = Meter::new();
    let body = Body::open(&job.server);
    match arguments[1].as_str() {
        "sdk" => discard(meter, body, job.media_bytes),
        "webm-iterable" => {
            meter.begin();
            let sums = parse(body, job.sums.frames, || meter.first());
            meter.end(job.media_bytes, Some(sums));
        }
        other => panic!("no such rival: {other}"),
    }
}

/// The payload of a GetMedia call, one HTTP chunk at a time as the SDK gives them.
struct Body {
    runtime: Runtime,
    stream: ByteStream,
    chunk: Bytes,
}

impl Body {
    fn open(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut roots = TrustStore::empty();
        if let Some(path) = &server.ca {
            roots = roots.with_pem_certificate(std::fs::read(path).unwrap());
        }
        let tls = TlsContext::builder().with_trust_store(roots).build().unwrap();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls)
            .build_https();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(server.region.clone()))
            .endpoint_url(&server.media_endpoint_url)
            .credentials_provider(Credentials::new(&server.access_key, &server.secret_key, None, None, "job"))
            .http_client(http)
            .build();
        let start = StartSelector::builder().start_selector_type(StartSelectorType::Earliest).build().unwrap();
        let request = Client::from_conf(config).get_media().stream_name(&server.stream).start_selector(start);
        let stream = runtime.block_on(request.send()).unwrap().payload;
        Body { runtime, stream, chunk: Bytes::new() }
    }

    fn next(&mut self) -> Option<Bytes> {
        self.runtime.block_on(self.stream.next()).map(|chunk| chunk.unwrap())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match self.next() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let size = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..size]);
        Ok(size)
    }
}

/// One future for all of it, so that the runtime is entered once.
fn discard(mut meter: Meter, body: Body, goal: u64) {
    let Body { runtime, mut stream, .. } = body;
    meter.begin();
    let read = runtime.block_on(async {
        let mut read = 0;
        while read < goal {
            read += stream.next().await.unwrap().unwrap().len() as u64;
            meter.first();
        }
        read
    });
    meter.end(read, None);
}

fn parse(media: impl Read, frames: u64, mut first: impl FnMut()) -> Sums {
    let mut sums = Sums::default();
    let mut cluster = 0;
    for tag in WebmIterator::new(media, &[]) {
        match tag.unwrap() {
            MatroskaSpec::Timestamp(time) => cluster = time as i64,
            MatroskaSpec::SimpleBlock(content) => {
                first();
                let block = SimpleBlock::try_from(&content).unwrap();
                let frame = block.raw_frame_data();
                sums.frames += 1;
                sums.bytes += frame.len() as u64;
                sums.time_ns += (cluster + block.timestamp as i64) * 1_000_000;
                sums.edges += frame[0] as u64 + frame[frame.len() - 1] as u64;
                if sums.frames == frames {
                    break;
                }
            }
            _ => {}
        }
    }
    sums
}

fn memory(path: &str, rounds: usize) {
    let media = std::fs::read(path).unwrap();
    let (mut sums, mut seconds) = (Sums::default(), Vec::new());
    for _ in 0..rounds {
        let began = cpu_seconds();
        sums = parse(media.as_slice(), u64::MAX, || {});
        seconds.push(cpu_seconds() - began);
    }
    println!("{}", serde_json::json!({"sums": sums, "seconds": seconds}));
}
