export default function main() {
  return Promise.resolve();
}
