//! The HTTP API: what programs and pages ask of a host.
