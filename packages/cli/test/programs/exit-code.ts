export default function main() {
  process.exitCode = 7;
}
