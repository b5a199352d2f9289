using System.Net.Sockets;
using UnityEngine;

namespace Dancerev {
    /// <summary>How a receiver stands to its sender.</summary>
    public enum ConnectionStatus {
        /// <summary>Not listening.</summary>
        Off,

        /// <summary>The port cannot be opened; it is tried again every second.</summary>
        PortUnavailable,

        /// <summary>Listening; no pose has come yet.</summary>
        Waiting,

        /// <summary>Poses come.</summary>
        Receiving,

        /// <summary>Poses came, but none in the last half second.</summary>
        Lost,
    }

    /// <summary>
    /// Moves a humanoid avatar with the dance that comes to a UDP port of this computer. For several dancers, take
    /// several of these, each with a port of its own.
    /// </summary>
    [AddComponentMenu("Dancerev/Dancerev Receiver")]
    [DefaultExecutionOrder(-100)] // hair, cloth and cameras that follow in LateUpdate see the pose of this frame
    public sealed class DancerevReceiver : MonoBehaviour {
        [SerializeField, Tooltip("The avatar. It must be humanoid.")]
        private Animator animator;

        [SerializeField, Tooltip("UDP port. dancerev-live sends the first dancer to 39539, the second to 39540 ...")]
        private int port = 39539;

        [SerializeField, Range(0f, 0.5f)]
        [Tooltip("Seconds by which poses may be late and motion still be smooth. More is smoother, less is sooner.")]
        private float delay = 0.05f;

        [SerializeField, Tooltip("Even out jumps over the floor, as after a loss on the network.")]
        private bool smoothTravel;

        [SerializeField, Tooltip("Exchange left and right.")]
        private bool mirror;

        private const double RetryAfter = 1.0; // seconds

        private readonly WorldBody _body = new WorldBody();
        private readonly TravelSmoother _travel = new TravelSmoother();
        private VmcStream _stream;
        private UdpListener _listener;
        private HumanoidRetargeter _retargeter;
        private int _triedPort;
        private double _triedAt;

        /// <summary>The avatar; it must be humanoid.</summary>
        public Animator Animator { get => animator; set => animator = value; }

        /// <summary>UDP port, 1 to 65535. The first dancer is sent to 39539, the second to 39540 ...</summary>
        public int Port { get => port; set => port = value; }

        /// <summary>Seconds, 0 to 0.5, by which poses may be late and motion still be smooth.</summary>
        public float Delay { get => delay; set => delay = value; }

        /// <summary>Whether jumps over the floor are evened out.</summary>
        public bool SmoothTravel { get => smoothTravel; set => smoothTravel = value; }

        /// <summary>Whether left and right change places.</summary>
        public bool Mirror { get => mirror; set => mirror = value; }

        /// <summary>Whether poses come.</summary>
        public ConnectionStatus Status { get; private set; }

        /// <summary>What keeps the avatar from dancing, in words for the user; null if nothing does.</summary>
        public string Problem { get; private set; }

        /// <summary>Poses received per second; 0 while none come.</summary>
        public double PosesPerSecond => _stream == null ? 0.0 : _stream.PosesPerSecond(UdpListener.Now);

        /// <summary>Datagrams received, of whatever content: whether anything comes to the port at all.</summary>
        public long Datagrams => _stream == null ? 0L : _stream.Datagrams;

        private void Reset() => animator = GetComponentInChildren<Animator>();

        private void LateUpdate() {
            double now = UdpListener.Now;
            string problem = Listen(now);
            if (problem == null && !Holds()) problem = HumanoidRetargeter.ProblemOf(animator);
            if (problem != Problem && problem != null) Debug.LogWarning("Dancerev: " + problem, this);
            Problem = problem;
            if (_listener == null) return;
            _stream.Delay = delay;
            if (_stream.Sample(now, _body)) {
                Status = ConnectionStatus.Receiving;
                if (problem == null) Dance(now);
            } else if (Status == ConnectionStatus.Receiving) {
                Status = ConnectionStatus.Lost;
                _travel.Reset();
            }
        }

        // Called on domain reload as well, so neither the thread nor the port outlives it.
        private void OnDisable() {
            StopListening();
            Release();
            Problem = null;
            Status = ConnectionStatus.Off;
        }

        /// <summary>Sees to it that the port is open; returns why it is not.</summary>
        private string Listen(double now) {
            port = Mathf.Clamp(port, 1, 65535);
            if (_triedPort == port && (_listener != null || now - _triedAt < RetryAfter)) {
                return _listener == null ? Problem : null;
            }
            StopListening();
            _triedPort = port;
            _triedAt = now;
            try {
                _stream = new VmcStream();
                _listener = new UdpListener(port, _stream);
                Status = ConnectionStatus.Waiting;
                return null;
            } catch (SocketException error) {
                Status = ConnectionStatus.PortUnavailable;
                return "Port " + port + " cannot be opened: " + error.Message
                    + ". Does another receiver or program listen on it?";
            }
        }

        private void StopListening() {
            if (_listener != null) _listener.Dispose();
            _listener = null;
            _stream = null;
            _triedPort = 0;
        }

        private void Dance(double now) {
            if (!Holds()) {
                Release();
                _retargeter = new HumanoidRetargeter(animator);
            }
            if (mirror) _body.Mirror();
            System.Numerics.Vector3 hips = _body.Positions[0];
            if (smoothTravel) {
                hips = _travel.Smooth(hips, now);
            } else {
                _travel.Reset();
            }
            _retargeter.Apply(_body, hips);
        }

        private bool Holds() => _retargeter != null && _retargeter.Holds(animator);

        private void Release() {
            if (_retargeter != null) _retargeter.Dispose();
            _retargeter = null;
        }
    }
}
