using System.Net;
using System.Net.Sockets;
using UnityEditor;
using UnityEngine;

namespace Dancerev {
    /// <summary>Shows below the settings whether poses come, and if not, what to start on the other side.</summary>
    [CustomEditor(typeof(DancerevReceiver))]
    internal sealed class DancerevReceiverEditor : Editor {
        private string _address;

        private void OnEnable() {
            _address = OwnAddress();
        }

        /// <inheritdoc/>
        public override bool RequiresConstantRepaint() => Application.isPlaying;

        /// <inheritdoc/>
        public override void OnInspectorGUI() {
            DrawDefaultInspector();
            var receiver = (DancerevReceiver)target;
            EditorGUILayout.Space();
            if (Application.isPlaying) {
                EditorGUILayout.LabelField("Status", receiver.Status.ToString());
                EditorGUILayout.LabelField("Poses a second", receiver.PosesPerSecond.ToString("0.0"));
            }
            if (receiver.Problem != null) {
                EditorGUILayout.HelpBox(receiver.Problem, MessageType.Error);
            } else if (receiver.Status != ConnectionStatus.Receiving) {
                EditorGUILayout.HelpBox(Hint(receiver), MessageType.Info);
            }
        }

        private string Hint(DancerevReceiver receiver) {
            string came = receiver.Datagrams > 0 ? "Something comes to this port, but no VMC poses. " : "";
            return came + "To send to this port, start on this computer:\n"
                + "dancerev-live --input mic --osc 127.0.0.1:" + receiver.Port
                + "\nor on another one:\ndancerev-live --input mic --osc " + _address + ":" + receiver.Port;
        }

        private static string OwnAddress() {
            try {
                foreach (IPAddress address in Dns.GetHostAddresses(Dns.GetHostName())) {
                    if (address.AddressFamily == AddressFamily.InterNetwork && !IPAddress.IsLoopback(address)) {
                        return address.ToString();
                    }
                }
            } catch (SocketException) {
                // A computer that cannot resolve its own name; the hint then has a gap to fill.
            }
            return "ADDRESS";
        }
    }
}
