"""Headless Chromium: the one that `make test-tools` unpacked, or the installed one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from debian_packages import library_path
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver

from tests.e2e.service import CHECKOUT

UNPACKED = CHECKOUT / ".tools" / "debian"
FONTS = CHECKOUT / ".tools" / "fonts.conf"

# Headless, without a sandbox (as root), and without background traffic.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> tuple[str, str] | None:
    """Return the paths of browser and driver, or None if they are not installed."""
    # Debian's start script reads /etc, which is not unpacked.
    browser, driver = UNPACKED / "usr/lib/chromium/chromium", UNPACKED / "usr/bin/chromedriver"
    if browser.exists() and driver.exists():
        return str(browser), str(driver)
    installed = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    remote = shutil.which("chromedriver")
    return (installed, remote) if installed and remote else None


@contextmanager
def open_browser(
    profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True
) -> Iterator[webdriver.Chrome]:
    """Open a browser with a new profile.

    Args:
        width, height: size of the page in pixels; a width below 600 is a phone.
        dark: prefer dark mode.
        scripts: allow pages to run scripts.
    """
    found = find()
    assert found is not None
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    environment = dict(os.environ)
    if libraries := library_path(UNPACKED):
        environment["LD_LIBRARY_PATH"] = libraries
    if FONTS.exists():
        environment["FONTCONFIG_FILE"] = str(FONTS)
    driver = webdriver.Chrome(options=options, service=Driver(found[1], env=environment))
    try:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        run_command(driver, "Emulation.setEmulatedMedia", features=scheme)
        size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        run_command(driver, "Emulation.setDeviceMetricsOverride", **size)
        yield driver
    finally:
        driver.quit()


def run_command(driver: webdriver.Chrome, command: str, **arguments: Any) -> None:
    """Run a command of the Chrome DevTools protocol."""
    driver.execute_cdp_cmd(command, arguments)


def browser_errors(driver: webdriver.Chrome) -> list[str]:
    """Return and clear the browser's errors and warnings, e.g. violations of the content security policy."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
