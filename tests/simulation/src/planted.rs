//! The mistakes that can be planted in engine and driver, under one roof.

use bandstand_driver::mistake as driver;
use bandstand_engine::mistake as engine;

/// A mistake in one of the subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// In the engine.
    Engine(engine::Mistake),
    /// In the driver's core.
    Driver(driver::Mistake),
}

impl Planted {
    /// All mistakes.
    pub fn all() -> Vec<Planted> {
        let of_engine = engine::Mistake::ALL.into_iter().map(Planted::Engine);
        of_engine.chain(driver::Mistake::ALL.into_iter().map(Planted::Driver)).collect()
    }

    /// The name it is asked for by.
    pub fn name(self) -> String {
        match self {
            Planted::Engine(mistake) => format!("engine-{mistake:?}"),
            Planted::Driver(mistake) => format!("driver-{mistake:?}"),
        }
    }

    /// Plants the mistake, and nothing else, in this process; `None`: takes any out.
    pub fn plant(planted: Option<Planted>) {
        engine::plant(match planted {
            Some(Planted::Engine(mistake)) => Some(mistake),
            _ => None,
        });
        driver::plant(match planted {
            Some(Planted::Driver(mistake)) => Some(mistake),
            _ => None,
        });
    }
}
