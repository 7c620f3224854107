//! The binary `bandstand`. All of it is in the library's [`bandstand::cli`].

fn main() -> std::process::ExitCode {
    bandstand::cli::main()
}
