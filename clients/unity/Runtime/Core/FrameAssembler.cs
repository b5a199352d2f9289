using System;
using System.Numerics;
using System.Text;

namespace Dancerev {
    /// <summary>
    /// Makes whole bodies of VMC messages, which may come in several datagrams. Not for several threads.
    /// </summary>
    /// <remarks>
    /// A body ends with /VMC/Ext/Blend/Apply, or, from a sender that never sends it, where a bone comes again. A sender
    /// that sends its time (/VMC/Ext/T) sends it once a body; a body without it lost a datagram and is left out, and so
    /// is one that lacks bones of the body before, unless they stay away.
    /// </remarks>
    internal sealed class FrameAssembler : IOscHandler {
        /// <summary>Seconds of silence after which what comes counts as another sender's.</summary>
        public const double NewSenderAfter = 0.5;

        private const double ApplyWithin = 0.1; // seconds in which a sender that ends its bodies with Apply has done so

        private const int ShortBodies = 3; // after so many, bones that are missing are no longer sent

        private const float CoarseFrom = 131072f; // seconds from which float32 is too coarse to order bodies by

        private static readonly byte[] Apply = Encoding.ASCII.GetBytes("/VMC/Ext/Blend/Apply");
        private static readonly byte[] Blend = Encoding.ASCII.GetBytes("/VMC/Ext/Blend/Val");
        private static readonly byte[] Bone = Encoding.ASCII.GetBytes("/VMC/Ext/Bone/Pos");
        private static readonly byte[] Root = Encoding.ASCII.GetBytes("/VMC/Ext/Root/Pos");
        private static readonly byte[] Clock = Encoding.ASCII.GetBytes("/VMC/Ext/T");

        private readonly Action<LocalPose, double> _finished;
        private readonly LocalPose _pose = new LocalPose();
        private double _begun = double.NegativeInfinity; // when the sender began
        private double _told = double.NegativeInfinity; // when it last told of itself
        private ulong _seen; // the bones of this body so far, one bit each ...
        private ulong _expected; // ... and of the last body that was whole
        private int _short; // bodies since then that lacked some
        private bool _sendsApply;
        private bool _sendsTime;
        private bool _hasTime;
        private bool _hasEnded; // one body of this sender, so that the next cannot have begun before we listened

        /// <param name="finished">
        /// Takes each body and its arrival (seconds by the receiver's clock). The body is valid until it returns.
        /// </param>
        public FrameAssembler(Action<LocalPose, double> finished) {
            _finished = finished;
        }

        /// <summary>The receiver's clock, seconds; to be set before messages are taken.</summary>
        public double Now { get; set; }

        /// <inheritdoc/>
        public void Take(OscMessage message) {
            if (message.HasAddress(Bone)) {
                TakeBone(message);
            } else if (message.HasAddress(Root)) {
                if (TryGetTransform(message, out Vector3 position, out Quaternion rotation)) {
                    Hear();
                    _pose.Root = position;
                    _pose.Turn = rotation;
                }
            } else if (message.HasAddress(Blend)) {
                TakeBlend(message);
            } else if (message.HasAddress(Clock)) {
                TakeTime(message);
            } else if (message.HasAddress(Apply)) {
                _sendsApply = true;
                End();
            }
        }

        private void TakeTime(OscMessage message) {
            _sendsTime = message.TryGetNumber(0, out float time) && Math.Abs(time) < CoarseFrom;
            if (!_sendsTime) return;
            Hear();
            _pose.Time = time;
            _hasTime = _sendsTime = true; // hearing a new sender has cleared them
        }

        private void TakeBlend(OscMessage message) {
            int expression = Expressions.IndexOf(message, 0);
            if (expression < 0 || !message.TryGetNumber(1, out float weight)) return;
            Hear();
            _pose.Faces[expression] = Math.Max(0f, Math.Min(1f, weight));
            _pose.HasFace = true;
        }

        private void TakeBone(OscMessage message) {
            if (!TryGetTransform(message, out Vector3 position, out Quaternion rotation)) return;
            Hear();
            int bone = Skeleton.IndexOf(message, 0);
            if (bone < 0) return; // an eye, a tail: nothing that dances
            ulong bit = 1ul << bone;
            if ((_seen & bit) != 0 && !_sendsApply && Now - _begun > ApplyWithin) End();
            _seen |= bit;
            if (bone >= Skeleton.BodyCount) _pose.HasFingers = true;
            _pose.Offsets[bone] = position;
            _pose.Rotations[bone] = rotation;
        }

        private void Hear() {
            if (Now - _told > NewSenderAfter) {
                // Maybe another sender, with other bones and other ways.
                _pose.Clear();
                _seen = _expected = 0;
                _short = 0;
                _sendsApply = _sendsTime = _hasTime = _hasEnded = false;
                _begun = Now;
            }
            _told = Now;
        }

        private void End() {
            bool whole = _hasTime || (_hasEnded && !_sendsTime);
            bool lacking = (_seen & _expected) != _expected;
            if (_seen != 0 && whole && (!lacking || ++_short > ShortBodies)) {
                _expected = _seen;
                _short = 0;
                if (!_hasTime) _pose.Time = Now;
                _finished(_pose, Now);
            }
            _seen = 0;
            _hasTime = false;
            _hasEnded = true;
        }

        private static bool TryGetTransform(OscMessage message, out Vector3 position, out Quaternion rotation) {
            position = default(Vector3);
            rotation = default(Quaternion);
            if (!message.IsText(0)
                || !message.TryGetNumber(1, out position.X) || !message.TryGetNumber(2, out position.Y)
                || !message.TryGetNumber(3, out position.Z) || !message.TryGetNumber(4, out rotation.X)
                || !message.TryGetNumber(5, out rotation.Y) || !message.TryGetNumber(6, out rotation.Z)
                || !message.TryGetNumber(7, out rotation.W) || rotation.Length() < 1e-6f) {
                return false;
            }
            rotation = Quaternion.Normalize(rotation);
            return true;
        }
    }
}
