//! Writes a sample access log, and says on standard error what is in it.
//!
//! ```text
//! cargo run --release --example sample -- access.log 1000000 200000 42 [ATTACK…]
//! ```
//!
//! The arguments are file, lines, clients and seed; each attack named begins a day after the one
//! before. The log covers eight days from Thursday, 5 November 2026.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;

use gatewatch::sample::{Attack, AttackKind, Traffic, TrafficConfig};
use gatewatch::units::{Period, Timestamp};

const START: Timestamp = Timestamp::from_secs(1_793_836_800);
const DAY: u64 = 86_400;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: sample FILE LINES CLIENTS SEED [ATTACK...]";
    let mut next = || arguments.next().ok_or(usage);
    let (path, lines, clients, seed) = (next()?, next()?, next()?, next()?);
    let mut attacks = Vec::new();
    for (name, day) in arguments.zip(0..) {
        let kind = AttackKind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| format!("`{name}` is no attack; known are {}", known()))?;
        // In the morning, when there are visitors but no crowd.
        attacks.push(Attack { kind, at: START.plus(Period::from_secs(day * DAY + 10 * 3600)) });
    }
    let mut traffic = Traffic::new(&TrafficConfig {
        seed: seed.parse()?,
        start: START,
        length: Period::from_secs(8 * DAY),
        lines: lines.parse()?,
        clients: clients.parse()?,
        attacks,
    });
    let (mut file, mut block) = (File::create(&path)?, Vec::new());
    let mut more = true;
    while more {
        block.clear();
        more = traffic.fill(&mut block, 1 << 20);
        file.write_all(&block)?;
    }
    writeln!(std::io::stderr(), "{:#?}", traffic.truth())?;
    Ok(())
}

fn known() -> String {
    AttackKind::ALL.map(AttackKind::name).join(", ")
}
