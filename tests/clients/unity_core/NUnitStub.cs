// A stub of the little of NUnit that the package's tests use, so that they run without Unity: one line per failure.
using System;
using System.Collections;
using System.Reflection;

namespace NUnit.Framework {
    [AttributeUsage(AttributeTargets.Method)]
    public sealed class TestAttribute : Attribute { }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class SetUpAttribute : Attribute { }

    public static class Assert {
        public static void IsTrue(bool condition) {
            if (!condition) throw new Exception("expected true");
        }

        public static void IsFalse(bool condition) {
            if (condition) throw new Exception("expected false");
        }

        public static void AreEqual(double expected, double actual, double delta) {
            if (!(Math.Abs(expected - actual) <= delta)) throw new Exception(expected + " expected, not " + actual);
        }

        public static void AreEqual(object expected, object actual) {
            bool same = expected is IList a && actual is IList b ? SameItems(a, b) : expected.Equals(actual);
            if (!same) throw new Exception(expected + " expected, not " + actual);
        }

        private static bool SameItems(IList a, IList b) {
            if (a.Count != b.Count) return false;
            for (int i = 0; i < a.Count; i++) {
                if (!a[i].Equals(b[i])) return false;
            }
            return true;
        }
    }

    internal static class Runner {
        private static int Main() {
            int run = 0, failed = 0;
            foreach (Type type in Assembly.GetExecutingAssembly().GetTypes()) {
                foreach (MethodInfo test in type.GetMethods()) {
                    if (!test.IsDefined(typeof(TestAttribute), false)) continue;
                    run++;
                    try {
                        object fixture = Activator.CreateInstance(type);
                        foreach (MethodInfo method in type.GetMethods()) {
                            if (method.IsDefined(typeof(SetUpAttribute), false)) method.Invoke(fixture, null);
                        }
                        test.Invoke(fixture, null);
                    } catch (TargetInvocationException error) {
                        failed++;
                        Console.WriteLine(type.Name + "." + test.Name + ": " + error.InnerException);
                    }
                }
            }
            Console.WriteLine(run + " run, " + failed + " failed");
            return failed == 0 && run > 0 ? 0 : 1;
        }
    }
}
