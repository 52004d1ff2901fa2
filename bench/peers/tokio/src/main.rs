// SPDX-License-Identifier: MIT
// The workload `select` of bench/peer for Tokio: of four channels with an item each one is chosen, and gets its item back.
// Usage: select select PROCS N (arguments and line of JSON as bench/peer's); PROCS must be 1.
use std::time::Instant;
use tokio::sync::mpsc;

async fn run(n: u64) -> (f64, bool) {
    let (t0, mut r0) = mpsc::channel::<u64>(1);
    let (t1, mut r1) = mpsc::channel::<u64>(1);
    let (t2, mut r2) = mpsc::channel::<u64>(1);
    let (t3, mut r3) = mpsc::channel::<u64>(1);
    for t in [&t0, &t1, &t2, &t3] {
        t.send(1).await.unwrap();
    }
    let mut taken = 0;
    let start = Instant::now();
    for _ in 0..n {
        tokio::select! {
            v = r0.recv() => { taken += v.unwrap(); t0.send(1).await.unwrap(); }
            v = r1.recv() => { taken += v.unwrap(); t1.send(1).await.unwrap(); }
            v = r2.recv() => { taken += v.unwrap(); t2.send(1).await.unwrap(); }
            v = r3.recv() => { taken += v.unwrap(); t3.send(1).await.unwrap(); }
        }
    }
    (start.elapsed().as_nanos() as f64 / n as f64, taken == n)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 4 || args[1] != "select" || args[2] != "1" {
        eprintln!("usage: select select 1 N");
        std::process::exit(2);
    }
    let n: u64 = args[3].parse().expect("N: a whole number");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (ns, ok) = runtime.block_on(async move { tokio::spawn(run(n)).await.unwrap() });
    println!(
        "{{\"peer\":\"tokio\",\"bench\":\"select\",\"procs\":1,\"n\":{},\"ns_per_op\":{},\"extra\":{{\"ok\":{}}}}}",
        n, ns, ok as i32
    );
}
