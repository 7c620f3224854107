//! Runs seeds from the command line.
fn main() {
    let from: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(1000);
    let mut bad = 0; let mut stats: std::collections::BTreeMap<String,(u64,u64)> = Default::default();
    for seed in from..from + count {
        let mut plan = bandstand_simulation::tape::Tape::record(seed);
        let world = bandstand_simulation::generate::world(&mut plan);
        if count == 1 { println!("{}", bandstand_simulation::render::world(&world)); }
        let mut tape = bandstand_simulation::tape::Tape::record(seed ^ 0x5555);
        let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bandstand_simulation::engine_alone::run(&world, &mut tape)));
        let r = match r { Ok(Ok(c)) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut worlds = vec![world.clone()];
            let mut second = bandstand_simulation::tape::Tape::record(seed ^ 0x777777);
            if second.below(3) == 2 { worlds.push(bandstand_simulation::generate::world(&mut second)); }
            let mut tape = bandstand_simulation::tape::Tape::record(seed ^ 0x555599);
            let mut faults = bandstand_simulation::tape::Tape::record(seed ^ 0x5555aa99);
            let r = bandstand_simulation::host::run(worlds, &mut tape, &mut faults);
            if count == 1 { if let Err(p) = &r { println!("HOST {}", p.0); } }
            r.map_err(|p| bandstand_simulation::check::Problem(format!("host: {}", p.0))).map(|_| c)
        })), r => r };
        match r {
            Ok(Ok(c)) => { let mut seen = std::collections::BTreeMap::<String,u64>::new();
                for (_, e) in &c.journal { let mut n = e.name().to_string(); match e { bandstand_engine::Event::NodeFailed(e) => n += &format!(" {} {}", e.error.failure.class.name(), e.error.failure.code), bandstand_engine::Event::EdgeTaken(e) => n += &format!(" {:?}", e.because), bandstand_engine::Event::NodeStarted(e) => n += &format!(" {}", e.kind), bandstand_engine::Event::RunFailed(e) => n+= &format!(" {}", e.error.failure.code), bandstand_engine::Event::BranchEnded(e) => n += &format!(" {:?}", e.outcome), _=>{} } *seen.entry(n).or_default() += 1; }
                for (k, v) in seen { let s = stats.entry(k).or_default(); s.0 += 1; s.1 += v; } }
            Ok(Err(p)) => { bad += 1; if bad < 15 { println!("seed {seed}: {}", p.0.chars().take(1500).collect::<String>()); } }
            Err(_) => { bad += 1; println!("seed {seed}: panic"); }
        }
    }
    if std::env::args().nth(3).is_some() { for (k,(a,b)) in &stats { println!("{a:8} {b:8} {k}"); } }
    println!("{bad} bad of {count}");
}
