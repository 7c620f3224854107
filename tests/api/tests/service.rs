//! How a service manager meets the server: told when it takes requests, while it is well, and when it ends.

#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use bandstand_crash::Site;

#[test]
fn a_service_manager_hears_that_it_is_ready_well_and_closing() {
    let site = Site::new(&[]);
    let path = site.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = || {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut child = Command::new(site.binary())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(site.path())
        .env("BANDSTAND_DATA", site.data())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(hear().trim(), "READY=1");
    assert_eq!(hear().trim(), "WATCHDOG=1");
    assert_eq!(hear().trim(), "WATCHDOG=1");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let last = std::iter::repeat_with(hear).find(|said| said.trim() != "WATCHDOG=1").unwrap();
    assert_eq!(last.trim(), "STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
