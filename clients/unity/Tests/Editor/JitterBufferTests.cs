using System;
using System.Numerics;
using NUnit.Framework;

namespace Dancerev {
    public sealed class JitterBufferTests {
        private const double Frame = 1.0 / 30.0;

        private readonly LocalPose _shown = new LocalPose();

        [Test]
        public void BodiesAreShownTheDelayAfterTheyCame() {
            var buffer = new JitterBuffer { Delay = 0.1 };
            for (int i = 0; i < 90; i++) {
                buffer.Add(At(i * Frame), 100.0 + i * Frame);
                Assert.IsTrue(buffer.Sample(100.0 + i * Frame, _shown));
            }
            Assert.AreEqual(89 * Frame - 0.1, _shown.Root.X, 1e-4);
        }

        [Test]
        public void MotionNeverRunsBackwardsHoweverBodiesCome() {
            var random = new Random(1);
            var buffer = new JitterBuffer { Delay = 0.05 };
            float before = float.NegativeInfinity;
            for (int tick = 0; tick < 1200; tick++) {
                double now = tick / 60.0;
                if (tick % 2 == 0) buffer.Add(At(tick / 60.0 - 0.2 * random.NextDouble()), now);
                Assert.IsTrue(buffer.Sample(now, _shown));
                Assert.IsTrue(_shown.Root.X >= before - 1e-4f);
                before = _shown.Root.X;
            }
        }

        [Test]
        public void AChangeOfDelayIsMadeGradually() {
            var buffer = new JitterBuffer();
            float before = float.NaN;
            for (int tick = 0; tick < 600; tick++) {
                double now = tick / 60.0;
                buffer.Delay = tick / 150 % 2 == 0 ? 0.2 : 0.05;
                buffer.Add(At(now), now);
                buffer.Sample(now, _shown);
                Assert.IsFalse(tick > 0 && (_shown.Root.X < before || _shown.Root.X > before + 2.0 / 60.0));
                before = _shown.Root.X;
            }
            Assert.AreEqual(599 / 60.0 - 0.05, before, 1e-3);
        }

        [Test]
        public void SilenceIsReportedAndRecoveredFrom() {
            var buffer = new JitterBuffer();
            Assert.IsFalse(buffer.Sample(0.0, _shown));
            buffer.Add(At(5.0), 1.0);
            Assert.IsTrue(buffer.Sample(1.49, _shown));
            Assert.IsFalse(buffer.Sample(1.51, _shown));
            buffer.Add(At(6.0), 2.0);
            Assert.IsTrue(buffer.Sample(2.0, _shown));
            Assert.AreEqual(6.0, _shown.Root.X, 1e-6);
        }

        [Test]
        public void AClockThatJumpsBackIsAnotherPerformance() {
            var buffer = new JitterBuffer { Delay = 0.1 };
            for (int i = 0; i < 30; i++) {
                buffer.Add(At(1000.0 + i * Frame), i * Frame);
                buffer.Sample(i * Frame, _shown);
            }
            buffer.Add(At(0.0), 1.0);
            Assert.IsTrue(buffer.Sample(1.0, _shown));
            Assert.AreEqual(0.0, _shown.Root.X, 1e-6);
        }

        [Test]
        public void RotationsTakeTheShorterArc() {
            var from = new LocalPose { Turn = Quaternion.Identity };
            var to = new LocalPose { Turn = -Quaternion.CreateFromAxisAngle(Vector3.UnitY, 1f) };
            _shown.Interpolate(from, to, 0.5f);
            Quaternion half = Quaternion.CreateFromAxisAngle(Vector3.UnitY, 0.5f);
            Assert.AreEqual(1.0, Math.Abs(Quaternion.Dot(half, _shown.Turn)), 1e-6);
        }

        private static LocalPose At(double time) {
            return new LocalPose { Time = time, Root = new Vector3((float)time, 0f, 0f) };
        }
    }
}
