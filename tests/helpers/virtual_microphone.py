"""A microphone and a loudspeaker that exist only in software: a PulseAudio server of one's own."""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("pulseaudio", "pactl", "pacat", "paplay")
MICROPHONE, LOUDSPEAKER = "virtual_microphone", "virtual_loudspeaker"


def missing_programs():
    """What is not installed (Debian: libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins)."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio")
    if not any(Path("/usr").glob("lib*/**/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("ALSA's plugin for PulseAudio")
    return missing


class VirtualMicrophone:
    """What is played into the loudspeaker is heard by the microphone, PortAudio's default input device "pulse".

    PortAudio looks at the environment when it starts, so it has to run in a child process that was given
    ``environment``. A context manager.
    """

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="vmic"))  # short: a socket's path may have 107 characters
        self._folder.chmod(0o700)
        alsa = self._folder / "alsa.conf"
        alsa.write_text("</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.environment = os.environ | {
            "XDG_RUNTIME_DIR": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder),
            "ALSA_CONFIG_PATH": str(alsa),
            "PULSE_SERVER": f"unix:{self._folder}/pulse/native",
            "PULSE_SOURCE": MICROPHONE,  # and no other when it is unplugged
            "PULSE_SINK": LOUDSPEAKER,
        }
        self._processes = []

    def __enter__(self):
        try:
            socket = "--load=module-native-protocol-unix"
            self._start("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", socket)
            self._wait_for_server()
            self.replug()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def play(self, path):
        """Begins to play a wav, flac or ogg file into the loudspeaker; the process that does so.

        It keeps a second ready, so that a busy machine does not tear holes into the sound.
        """
        return self._start("paplay", "--latency-msec=1000", str(path))

    def unplug(self):
        """Takes the microphone away as pulling its plug does, and the loudspeaker with it.

        Were there any source left, its monitor for one, PulseAudio would silently record from that.
        """
        self._control("unload-module", "module-remap-source")
        self._control("unload-module", "module-null-sink")

    def replug(self):
        """Gives both back; what was playing does not go on."""
        self._control("load-module", "module-null-sink", f"sink_name={LOUDSPEAKER}", "rate=48000", "channels=2")
        # A loudspeaker that plays nothing is asleep, and its first sound comes 1.6 s late.
        self._start("pacat", "--latency-msec=10", "--rate=48000", "--channels=2", "--format=s16le", "/dev/zero")
        time.sleep(1.0)
        source = f"source_name={MICROPHONE}"
        self._control("load-module", "module-remap-source", source, f"master={LOUDSPEAKER}.monitor")

    def _wait_for_server(self):
        deadline = time.perf_counter() + 20
        while subprocess.run(["pactl", "info"], env=self.environment, capture_output=True).returncode:
            if time.perf_counter() > deadline:
                raise RuntimeError("PulseAudio did not start")
            time.sleep(0.05)

    def _start(self, *command):
        process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def _control(self, *command):
        subprocess.run(["pactl", *command], env=self.environment, check=True, capture_output=True, timeout=20)
