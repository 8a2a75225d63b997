// Sums up a series of readings: their average, their range and a little chart in the log.

const BAR_WIDTH = 30;

exports.handler = async (task, context) => {
  const readings = task.data.readings;
  if (!Array.isArray(readings) || readings.length === 0) {
    throw new RangeError('data.readings must be a list with at least one number');
  }
  console.log(`Summing up ${readings.length} readings for task ${task.id ?? '(direct call)'}`);

  const lowest = Math.min(...readings);
  const highest = Math.max(...readings);
  for (const reading of readings) {
    const share = highest === lowest ? 1 : (reading - lowest) / (highest - lowest);
    console.log(`${String(reading).padStart(8)} ${'#'.repeat(1 + Math.round(share * (BAR_WIDTH - 1)))}`);
  }

  const average = readings.reduce((sum, reading) => sum + reading, 0) / readings.length;
  console.log(`The average is ${average.toFixed(2)}; ${context.getRemainingTimeInMillis()} ms were left`);
  return { count: readings.length, lowest, highest, average };
};
